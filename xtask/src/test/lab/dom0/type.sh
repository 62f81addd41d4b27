#!/bin/sh
# What dom0 does while the guest `typed` runs, whose name is the first argument: it types.
until id=$(xl domid "$1" 2>/dev/null); do
    sleep 0.1
done
log=/var/log/xen/console/guest-$1.log
until grep -q 'Who is there' "$log" 2>/dev/null; do
    sleep 0.1
done
tty=$(xenstore-read "/local/domain/$id/console/tty")
printf 'Mayflx\177y\r' >"$tty"
until grep -q 'More!' "$log"; do
    sleep 0.1
done
i=0
while [ $i -lt 100 ]; do
    printf 01234567890123456789012345678901234567890123456789
    i=$((i + 1))
done >"$tty"
