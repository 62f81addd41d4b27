#!/bin/sh
# What dom0 does while the guest `conduit` runs, whose name is the first argument: it makes the place
# for names, accepts a connection by Conduit, and then makes one. Both send back what comes. Then it
# makes a second guest, which the first connects to.
until id=$(xl domid "$1" 2>/dev/null); do
    sleep 0.1
done
other=$1-peer
log=/var/log/xen/console/guest-$other.log

fail() {
    echo "$*"
    xenstore-ls -p /conduit
    cat "$log"
    xl destroy "$other"
    exit 1
}

# Waits until a node is there.
await() {
    tries=0
    until xenstore-read "$1" >/dev/null 2>&1; do
        tries=$((tries + 1))
        [ $tries -lt 300 ] || fail "nobody makes $1"
        sleep 0.1
    done
}

# The guest has seen that there is none.
await "/local/domain/$id/data/early"
xenstore-write /conduit ""
xenstore-chmod /conduit b0
xenstore-write /conduit/dom0 0
xenstore-write "/local/domain/$id/data/go" 1

await /conduit/dom0/guest/7
xenstore-rm /conduit/dom0/guest
timeout 60 ./vchan-echo server "$id" "/local/domain/0/data/vchan/$id/7" 0 0 || fail "server: $?"

await /conduit/guest
[ "$(xenstore-read /conduit/guest)" = "$id" ] || fail "the guest is another domain"
xenstore-write /conduit/guest/dom0/service service
timeout 60 ./vchan-echo client "$id" "/local/domain/$id/data/vchan/0/service" || fail "client: $?"

sed "s/^name = .*/name = \"$other\"/; /^extra = /d; /^vif = /d" "$1.cfg" >other.cfg
echo 'extra = "name=peer"' >>other.cfg
xl create other.cfg >/dev/null || fail "the second guest cannot be created"
await /conduit/peer
xenstore-write "/local/domain/$id/data/peer" 1
tries=0
until grep -q 'mayfly-test: ' "$log"; do
    tries=$((tries + 1))
    [ $tries -lt 300 ] || fail "the second guest does not end"
    sleep 0.1
done
grep -q 'mayfly-test: PASS' "$log" || fail "the second guest fails"
xl destroy "$other"
xenstore-rm /conduit
