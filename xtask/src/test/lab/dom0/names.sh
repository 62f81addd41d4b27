#!/bin/sh
# What dom0 does while the guest `xenstore` runs, whose name is the first argument: makes a directory
# for it whose names do not fit into one message of XenStore's, which has 4096
# bytes. oxenstored has no way to tell them in parts. And the longest value that its node can have: with
# oxenstored that is its quota, which holds for dom0 as well, otherwise what makes a message full, which
# has path, a byte of zero, and value.
until id=$(xl domid "$1" 2>/dev/null) && xenstore-exists "/local/domain/$id/data/greeting"; do
    sleep 0.1
done
data=/local/domain/$id/data
nodes=
for number in $(seq 100 699); do
    nodes="$nodes $data/names/a-name-of-some-length-$number x"
done
# shellcheck disable=SC2086 # They are words.
xenstore-write $nodes
case $(xenstore-read /tool/xenstored) in
*oxenstored) how=whole size=2048 ;;
*) how=parts size=$((4095 - ${#data} - 5)) ;;
esac
xenstore-write "$data/full" "$(head -c $size /dev/zero | tr '\0' x)"
xenstore-write "$data/ready" $how
