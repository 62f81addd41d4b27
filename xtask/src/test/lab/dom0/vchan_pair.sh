#!/bin/sh
# Makes a second guest for the guest `vchan_pair`, whose name is the first argument: first one that is
# the server, and then one that is the client. Each is destroyed when the first guest has heard it.
until id=$(xl domid "$1" 2>/dev/null); do
    sleep 0.1
done
own=/local/domain/$id/data

fail() {
    echo "$*"
    cat "/var/log/xen/console/guest-$other.log"
    xl destroy "$other"
    exit 1
}

# Makes it, with a boot argument, and tells the first one.
with() {
    other=$1-$2
    sed "s/^name = .*/name = \"$other\"/; s/^extra = .*/extra = \"$3=$id\"/" "$1.cfg" >other.cfg
    xl create other.cfg >/dev/null || fail "the $2 cannot be created"
    xenstore-write "$own/$2" "$(xl domid "$other")"
    tries=0
    until [ "$(xenstore-read "$own/stage" 2>/dev/null)" = "$2" ]; do
        tries=$((tries + 1))
        [ $tries -lt 300 ] || fail "the first guest does not hear the $2"
        sleep 0.1
    done
    xl destroy "$other"
}

with "$1" server server-for
# Else nobody tells a server that a domain is gone.
xenstore-chmod @releaseDomain n0 "r$id"
with "$1" client client-of
