#!/bin/sh
# Saves and restores the guest `saved`, whose name is the first argument, while it serves a connection
# and works with its disk. The second is its address.
name=$1
address=$2
image=saved.image

fail() {
    echo "$*"
    cat save.xl
    exit 1
}

# Waits until a command succeeds.
await() {
    tries=0
    until "$@"; do
        tries=$((tries + 1))
        [ $tries -lt 300 ] || fail "it does not come to: $*"
        sleep 0.1
    done
}

# Asks the guest how it is: nanoseconds since boot and since 1970, how often it has written and read
# its disk, and free grants and places for pages of others.
ask() {
    # shellcheck disable=SC2046
    set -- $(timeout 5 nc "$address" 8 </dev/null 2>/dev/null)
    [ $# = 5 ] || return 1
    up=$1 wall=$2 rounds=$3 free="$4 $5"
}

# The clock of the guest has gone on since `before`, and tells the time of dom0. Its deadlines are with
# Xen, in the domain that it is in now.
check() {
    lsevtchn "$(xl domid "$name")" | grep -q 'Virtual IRQ 0$' || fail "there is no VIRQ_TIMER"
    await ask
    now=$(date +%s)
    [ "$up" -gt "$before" ] || fail "time has gone from $before to $up"
    off=$((wall / 1000000000 - now))
    [ $off -ge -2 ] && [ $off -le 1 ] || fail "the guest's clock is off by $off s"
}

# It has written and read its disk again.
has_worked() {
    ask && [ "$rounds" -gt "$worked" ]
}

working() {
    worked=$rounds
    await has_worked
}

# More has come back through the connection.
grown() {
    [ "$(stat -c %s save.out)" -gt "$size" ]
}

flowing() {
    size=$(stat -c %s save.out)
    await grown
}

# The guest has said something about its channel so often.
said() {
    [ "$(grep -c "channel: $1" "$log")" = "$2" ]
}

# It asks for a channel by its name, which leads to it.
asks() {
    [ "$(xenstore-read /conduit/saved 2>/dev/null)" = "$(xl domid "$name")" ] &&
        [ "$(xenstore-read /conduit/dom0/saved/never 2>/dev/null)" = never ]
}

# Makes a channel for the guest, which connects with it for the nth time.
channel() {
    id=$(xl domid "$name")
    vchan-socket-proxy -m server "$id" "/local/domain/0/data/vchan/$id/saved" - <>save.pipe >save.channel &
    server=$!
    await said connected "$1"
}

rm -f save.*
mkfifo save.pipe
log=/var/log/xen/console/guest-$name.log
: >save.xl
await ask
await asks
free_before=$free
channel 1
# A connection that lasts, with bytes on their way all the time.
: >save.out
head -c 50000 /dev/urandom >save.piece
{
    while [ ! -e save.stop ]; do
        cat save.piece
        cat save.piece >>save.in
        sleep 0.3
    done
} | nc "$address" 7 >save.out &
client=$!
flowing
working

before=$up
id=$(xl domid "$name")
xl save -c "$name" $image >save.xl 2>&1 || fail "xl save -c: $?"
[ "$(xl domid "$name")" = "$id" ] || fail "a copy was taken, and the guest is another"
check
flowing
working

for round in 1 2 3; do
    before=$up
    said connected $round || fail "the channel has not lasted"
    xl save "$name" $image >save.xl 2>&1 || fail "xl save: $?"
    ! xl domid "$name" >/dev/null 2>&1 || fail "the guest is still there"
    # The clocks of the guest and of dom0 are apart now.
    [ $round != 1 ] || sleep 2
    xl restore $image >save.xl 2>&1 || fail "xl restore: $?"
    check
    [ $((up - before)) -lt 60000000000 ] || fail "time has jumped from $before to $up"
    flowing
    working
    await asks
    # What was mapped is not there any more, and the guest has noticed.
    await said 'the domain on the other side of the vchan is gone' $round
    kill $server
    channel $((round + 1))
done
kill $server
await said '.*' 8

: >save.stop
wait $client
[ "$(sha256sum <save.in)" = "$(sha256sum <save.out)" ] ||
    fail "$(stat -c %s save.in) bytes were sent, others ($(stat -c %s save.out)) came back"
await ask
[ "$free" = "$free_before" ] || fail "free were $free_before, and now $free"
timeout 5 nc "$address" 9 </dev/null
await grep -q 'mayfly-test: ' "$log"
grep -q 'mayfly-test: PASS' "$log" || fail "the guest has failed"
rm -f save.* $image
exit 0
