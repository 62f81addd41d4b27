#!/bin/sh
# What dom0 does while the guest `attached_network` runs, whose name is the first argument: attaches a
# network card, talks to the guest through it, and detaches it in the middle of that.
until id=$(xl domid "$1" 2>/dev/null); do
    sleep 0.1
done

fail() {
    echo "$*"
    exit 1
}

# Waits until the guest is at a stage.
await() {
    tries=0
    until [ "$(xenstore-read "/local/domain/$id/data/stage" 2>/dev/null)" = "$1" ]; do
        tries=$((tries + 1))
        [ $tries -lt 600 ] || fail "the guest does not come to $1"
        sleep 0.1
    done
}

head -c 65536 /dev/urandom >sent
for round in 0 1 2; do
    await "wait-$round"
    ip neigh flush dev xenbr0
    xl network-attach "$1" "mac=00:16:3e:00:09:0$round" bridge=xenbr0 || fail "it cannot be attached"
    await "there-$round"
    timeout 30 nc 10.99.0.9 7 <sent >back || fail "the guest does not answer: $?"
    cmp sent back || fail "it sends something else back"
    nc 10.99.0.9 7 </dev/zero >/dev/null &
    await "busy-$round"
    xl network-detach "$1" "$round" || xl network-detach "$1" 0 || fail "it cannot be detached"
    kill $!
done
