#!/bin/sh
# What dom0 does while the guest `balloon` runs, which has 32 MiB and whose name is the first argument:
# makes it smaller and larger, and looks whether it works then. On x86, another one begins with less
# memory than its memory map shows, and is saved and restored.
until xl domid "$1" >/dev/null 2>&1; do
    sleep 0.1
done

fail() {
    echo "$*"
    xl list
    cat "/var/log/xen/console/guest-$name.log"
    exit 1
}

# Waits until a command succeeds.
await() {
    tries=0
    until "$@"; do
        tries=$((tries + 1))
        [ $tries -lt 300 ] || fail "$name does not come to: $*"
        sleep 0.1
    done
}

# By Xen's count, the guest has from so many MiB to so many.
has() {
    set -- "$1" "${2:-$1}" $(xl list "$name" | tail -n 1)
    [ "$5" -ge "$1" ] && [ "$5" -le "$2" ]
}

answered() {
    set -- $(xenstore-read "/local/domain/$id/data/answer" 2>/dev/null)
    [ "$1" = "$order" ] && used=$2 had=$3
}

# The guest uses all its memory, which is from so many KiB to so many.
uses() {
    order=$((order + 1))
    id=$(xl domid "$name")
    xenstore-write "/local/domain/$id/data/order" $order
    await answered
    [ "$used" -ge "$1" ] && [ "$used" -le "$2" ] || fail "$used KiB are in use, of $had"
    [ "$had" -le "$2" ] || fail "it says that it has $had KiB"
}

# xl asks for so many MiB.
ask() {
    xl mem-set "$name" "$1" || fail "xl mem-set $1: $?"
}

name=$1
order=0
uses 30000 32768
all=$used
for size in 16 24 8 32; do
    ask $size
    await has $size
    uses $((size * 1024 - 2000)) $((size * 1024))
done
# What is asked for is less than it can do with.
ask 1
await grep -q 'the rest is in use' "/var/log/xen/console/guest-$name.log"
has 2 4 || fail "it has another size than what it needs"
uses 1500 3500
ask 32
await has 32
uses $((all - 256)) 32768
xenstore-write "/local/domain/$id/data/order" end

[ "$(uname -m)" = x86_64 ] || exit 0
sed "s/^name .*/name = \"pod\"/; s/^memory .*/memory = 12\nmaxmem = 32/" "$1.cfg" >pod.cfg
name=pod
xl create pod.cfg >pod.xl || fail "xl create: $?"
# It gives back what it does not have before it is asked to.
await grep -q '12288 KiB of memory, of 12288' /var/log/xen/console/guest-pod.log
has 12 || fail "it has another size than what it has begun with"
uses 10000 12288
xl save pod pod.image >pod.xl 2>&1 || fail "xl save: $?"
xl restore pod.image >pod.xl 2>&1 || fail "xl restore: $?"
await has 12
uses 10000 12288
ask 32
await has 32
uses $((all - 256)) 32768
ask 12
await has 12
xl destroy pod
rm -f pod.*
exit 0
