#!/bin/sh
# What dom0 does while the guest `connects` runs, whose name is the first argument: takes the back ends
# of its devices away before it connects them, and gives them back one by one, the last first.
until id=$(xl domid "$1" 2>/dev/null) && xenstore-exists "/local/domain/$id/data"; do
    sleep 0.1
done

fail() {
    echo "$*"
    xenstore-ls "/local/domain/$id"
    xenstore-ls backend
    exit 1
}

guest=$1

# Waits until a command succeeds.
await() {
    tries=0
    until eval "$1"; do
        tries=$((tries + 1))
        [ $tries -lt 200 ] || fail "not so: $1"
        sleep 0.1
    done
}

# Whether a front end is in a state.
is_in() {
    [ "$(xenstore-read "/local/domain/$id/device/$1/state")" = "$2" ]
}

bind() {
    echo "$1-$id-$2" >/sys/bus/xen-backend/drivers/$1/$3
}

# xl still makes them when the guest is to be seen.
await 'grep -q "Waiting for domain" "$guest.xl"'
bind vbd 51712 unbind
bind vbd 51728 unbind
bind vif 0 unbind
xenstore-write "/local/domain/$id/data/go" yes
# XenbusStateConnected: it is the back end's turn, for each of them.
await 'is_in vbd/51712 4 && is_in vbd/51728 4 && is_in vif/0 4'
xenstore-ls "/local/domain/$id/data" | grep connected && fail "there is no back end"
for device in "network vif 0" "disk1 vbd 51728" "disk0 vbd 51712"; do
    set -- $device
    bind "$2" "$3" bind
    if [ "$2" = vif ]; then
        await 'brctl addif xenbr0 "vif$id.0" 2>/dev/null'
        ip link set "vif$id.0" up
        xenstore-write "backend/vif/$id/0/hotplug-status" connected
    fi
    await "xenstore-exists /local/domain/$id/data/$1"
done
