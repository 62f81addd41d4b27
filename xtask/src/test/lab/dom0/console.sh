#!/bin/sh
# What dom0 does while the guest `second_console` runs, whose name is the first argument: it gives the
# guest a second console, as xl does, plays its back end, types, and removes it. If xl has given it one,
# whose back end is QEMU, it only types.
until id=$(xl domid "$1" 2>/dev/null); do
    sleep 0.1
done
log=/var/log/xen/console/guest-$1.log
front=/local/domain/$id/device/console/1
back=/local/domain/0/backend/console/$id/1

fail() {
    echo "$*"
    xenstore-ls -p "$front"
    exit 1
}

# Waits until the guest has printed something.
await() {
    tries=0
    until grep -q "$1" "$log" 2>/dev/null; do
        tries=$((tries + 1))
        [ $tries -lt 300 ] || fail "the guest does not say $1"
        sleep 0.1
    done
}

# Makes a console, and plays its back end.
play() {
    xenstore-write "$back" ""
    xenstore-chmod "$back" n0 "r$id"
    xenstore-write "$back/frontend" "$front" "$back/frontend-id" "$id" "$back/online" 1 \
        "$back/protocol" vt100 "$back/name" monitor "$back/state" 1
    xenstore-write "$front" ""
    xenstore-chmod "$front" "n$id" r0
    xenstore-write "$front/name" monitor "$front/type" ioemu "$front/protocol" vt100 \
        "$front/backend-id" 0 "$front/state" 1 "$front/backend" "$back"
    xenstore-write "$back/state" 2

    tries=0
    until [ "$(xenstore-read "$front/state")" = 4 ]; do
        tries=$((tries + 1))
        [ $tries -lt 300 ] || fail "the front end does not connect"
        sleep 0.1
    done
    # Another guest may have left one.
    rm -f pty
    ./console-end "$id" "$(xenstore-read "$front/ring-ref")" "$(xenstore-read "$front/port")" >pty &
    end=$!
    until tty=$(cat pty 2>/dev/null) && [ "$tty" ]; do
        sleep 0.1
    done
    xenstore-write "$back/state" 4
}

await ready
end=
if xenstore-exists "$front"; then
    tty=$(xenstore-read "$front/tty")
else
    # Where QEMU was brought along, xl is to make it.
    [ ! -e /run/qemu ] || fail "xl has made no second console"
    play
fi

await open
exec 3<>"$tty"
echo hello >&3
read -r answer <&3
[ "$answer" = hello ] || fail "it answers: $answer"
await echoed
i=0
while [ $i -lt 800 ]; do
    printf abcdefghijklmnopqrstuvwxyz
    i=$((i + 1))
done | head -c 20000 >many
cat many >&3 &
head -c 20000 <&3 >back
cmp many back || fail "something else comes back"
await "all of it"
exec 3>&-
[ "$end" ] || exit 0
xenstore-rm "$front"
xenstore-rm "$back"
kill "$end"
