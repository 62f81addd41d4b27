#!/bin/sh
# Moves MEBIBYTES from and to the guest NAME at ADDRESS, and takes netback away, and gives it back as
# the tools would, again and again meanwhile: bulk_restart.sh NAME ADDRESS MEBIBYTES RESTARTS.
name=$1 address=$2 mebibytes=$3 least=$4
until id=$(xl domid "$name" 2>/dev/null); do
    sleep 0.1
done
vif=vif$id.0
driver=/sys/bus/xen-backend/drivers/vif
back=backend/vif/$id/0
front=/local/domain/$id/device/vif/0

fail() {
    echo "$*"
    exit 1
}

# Waits until a command succeeds.
await() {
    tries=0
    until "$@" 2>/dev/null; do
        tries=$((tries + 1))
        [ $tries -lt 200 ] || fail "this does not come about: $*"
        sleep 0.1
    done
}

connected() {
    [ "$(xenstore-read $front/state $back/state)" = "4
4" ]
}

packets() {
    cat "/sys/class/net/$vif/statistics/rx_packets"
}

# Whether there are many more than there were.
received() {
    [ "$(packets)" -gt $((before + 100)) ]
}

restart() {
    echo "vif-$id-0" >$driver/unbind
    echo "vif-$id-0" >$driver/bind
    await brctl addif xenbr0 "$vif"
    ip link set "$vif" up
    xenstore-write $back/hotplug-status connected
    await connected
    # Bytes move again, by an interface that counts from 0.
    before=0
    await received
}

await connected
before=$(packets)
./bulk-client "$address" "$mebibytes" >moved 2>&1 &
client=$!
trap 'kill $client 2>/dev/null' EXIT
await received
restarts=0
while [ $restarts -lt "$least" ]; do
    restart
    kill -0 $client 2>/dev/null || fail "it ends after $restarts restarts: $(cat moved)"
    restarts=$((restarts + 1))
done
wait $client || fail "after $restarts restarts: $(cat moved)"
