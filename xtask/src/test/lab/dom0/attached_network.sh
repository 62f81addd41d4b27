#!/bin/sh
# What dom0 does while the guest `attached_network` runs, whose name is the first argument: attaches a
# network card, talks to the guest through it, and detaches it in the middle of that. netback of the
# first one is away for a while. Before all of them two come whose back ends never answer.
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

# Waits until the guest has sent back a line.
returned() {
    tries=0
    until grep -q "$1" returned; do
        tries=$((tries + 1))
        [ $tries -lt 300 ] || fail "the line does not come back: $1"
        sleep 0.1
    done
}

# Says that there is no link, and that there is one again. Meanwhile the guest sends nothing.
unplug() {
    xenstore-write "backend/vif/$id/0/carrier" 0
    await unplugged-0
    echo waits >pipe
    sleep 1
    ! grep -q waits returned || fail "it sends without a link"
    xenstore-write "backend/vif/$id/0/carrier" 1
    await plugged-0
    returned waits
}

# Takes netback away, and gives it back, as the tools would, while a connection lasts.
restart() {
    driver=/sys/bus/xen-backend/drivers/vif
    rm -f pipe
    mkfifo pipe
    : >returned
    nc 10.99.0.9 7 <>pipe >returned &
    client=$!
    echo before >pipe
    returned before
    unplug
    # It does not say that it goes; the next one begins anew.
    echo "vif-$id-0" >$driver/unbind
    echo "vif-$id-0" >$driver/bind
    await down-0
    echo meanwhile >pipe
    tries=0
    until brctl addif xenbr0 "vif$id.0" 2>/dev/null; do
        tries=$((tries + 1))
        [ $tries -lt 100 ] || fail "netback makes no interface"
        sleep 0.1
    done
    ip link set "vif$id.0" up
    [ "$(xenstore-read "/local/domain/$id/data/stage")" = down-0 ] || fail "it has a link too early"
    xenstore-write "backend/vif/$id/0/hotplug-status" connected
    await up-0
    returned meanwhile
    kill $client
    rm -f pipe
}

# Makes a card with nobody behind it.
attach_silent() {
    front=/local/domain/$id/device/vif/$1
    xenstore-write "$front/state" 1 "$front/backend-id" 0
    xenstore-chmod -r "$front" "n$id" r0
    xenstore-write "$front/backend" "/local/domain/0/backend/vif/$id/$1"
}

await wait-0
attach_silent 50
attach_silent 51
head -c 65536 /dev/urandom >sent
for round in 0 1 2; do
    await "wait-$round"
    ip neigh flush dev xenbr0
    xl network-attach "$1" "mac=00:16:3e:00:09:0$round" bridge=xenbr0 || fail "it cannot be attached"
    await "there-$round"
    timeout 30 nc 10.99.0.9 7 <sent >back || fail "the guest does not answer: $?"
    cmp sent back || fail "it sends something else back"
    [ "$round" != 0 ] || restart
    nc 10.99.0.9 7 </dev/zero >/dev/null &
    await "busy-$round"
    xl network-detach "$1" "$round" || xl network-detach "$1" 0 || fail "it cannot be detached"
    kill $!
done
