#!/bin/sh
# What dom0 does while the guest `wall_clock` runs, whose name is the first argument: it looks whether
# the guest has left its deadlines to Xen, where it is to do so, and asks it for the time, between two
# looks at its own clock.
until id=$(xl domid "$1" 2>/dev/null) && xenstore-exists "/local/domain/$id/data/answer"; do
    sleep 0.1
done
data=/local/domain/$id/data

fail() {
    echo "$*"
    exit 1
}

# Asks the guest for something.
ask() {
    xenstore-write "$data/command" "$1 $2"
    tries=0
    until answer=$(xenstore-read "$data/answer") && [ "${answer%% *}" = "$1" ]; do
        tries=$((tries + 1))
        [ $tries -lt 300 ] || fail "the guest does not tell the $2"
        sleep 0.1
    done
    answer=${answer#* }
}

if [ "$(uname -m)" = x86_64 ] && ! lsevtchn "$id" | grep -q 'Virtual IRQ 0$'; then
    lsevtchn "$id"
    fail "the guest has no channel for VIRQ_TIMER"
fi
ahead=$(cat /run/xen-ahead)
for round in 1 2 3; do
    before=$(($(date +%s) + ahead))
    ask $round time
    after=$(($(date +%s) + ahead))
    # All of them tell whole seconds; so does Xen on ARM, of when a guest has begun.
    [ "$answer" -ge $((before - 1)) ] && [ "$answer" -le $((after + 1)) ] ||
        fail "the guest has $answer, but Xen has $before before and $after after it"
    sleep 1
done
xenstore-write "$data/command" "4 end"
