#!/bin/sh
# What dom0 does while the guest `conduit` runs, whose name is the first argument: it makes the place
# for names, accepts a connection by Conduit, and then makes one. Both send back what comes.
until id=$(xl domid "$1" 2>/dev/null); do
    sleep 0.1
done

fail() {
    echo "$*"
    xenstore-ls -p /conduit
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

await /conduit/dom0/guest/echo
xenstore-rm /conduit/dom0/guest
timeout 60 ./vchan-echo server "$id" "/local/domain/0/data/vchan/$id/echo" 0 0 || fail "server: $?"

await /conduit/guest
[ "$(xenstore-read /conduit/guest)" = "$id" ] || fail "the guest is another domain"
xenstore-write /conduit/guest/dom0/service service
timeout 60 ./vchan-echo client "$id" "/local/domain/$id/data/vchan/0/service" || fail "client: $?"
xenstore-rm /conduit
