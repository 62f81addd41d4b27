#!/bin/sh
# What dom0 does while the guest `wall_clock` runs, whose name is the first argument: it looks whether
# the guest has left its deadlines to Xen, where it is to do so, and tells the time.
until id=$(xl domid "$1" 2>/dev/null) && xenstore-exists "/local/domain/$id/data"; do
    sleep 0.1
done
if [ "$(uname -m)" = x86_64 ] && ! lsevtchn "$id" | grep -q 'Virtual IRQ 0$'; then
    echo "the guest has no channel for VIRQ_TIMER:"
    lsevtchn "$id"
    exit 1
fi
xenstore-write "/local/domain/$id/data/time" "$(date +%s)"
