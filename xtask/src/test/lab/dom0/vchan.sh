#!/bin/sh
# What dom0 does while the guest `vchan` runs, whose name is the first argument: it talks to it by
# libxenvchan, whose program here connects a channel with standard input and output.
until id=$(xl domid "$1" 2>/dev/null); do
    sleep 0.1
done
own=/local/domain/$id/data
here=/local/domain/0/data/vchan/$id

fail() {
    echo "$*"
    exit 1
}

# The program stops reading the channel when its input ends, so it has one that does not.
rm -f vchan.pipe
mkfifo vchan.pipe

# Sends so many KiB by the command that follows, and compares what comes back.
echoed() {
    size=$1
    shift
    head -c "$((size * 1024))" /dev/urandom >vchan.in
    cat vchan.in >vchan.pipe &
    timeout 100 "$@" <>vchan.pipe >vchan.out 2>vchan.err || fail "$*: $?, $(cat vchan.err)"
    sent=$(sha256sum <vchan.in)
    back=$(sha256sum <vchan.out)
    [ "$sent" = "$back" ] || fail "$*: $sent was sent, $back ($(stat -c %s vchan.out) bytes) came back"
}

# Waits until the guest is at a stage.
await() {
    tries=0
    until [ "$(xenstore-read "$own/stage" 2>/dev/null)" = "$1" ]; do
        tries=$((tries + 1))
        [ $tries -lt 600 ] || fail "the guest does not come to $1"
        sleep 0.1
    done
}

echoed 256 vchan-socket-proxy "$id" "$own/vchan/0/small" -
echoed 256 vchan-socket-proxy "$id" "$own/vchan/0/mixed" -
echoed 8192 vchan-socket-proxy "$id" "$own/vchan/0/large" -
echoed 256 vchan-socket-proxy -m server "$id" "$here/client" -
# The guest compares what comes back.
./vchan-echo server "$id" "$here/large-client" 131072 65536 || fail "the server of large rings: $?"
./vchan-echo server "$id" "$here/largest-client" 1048576 131072 || fail "the largest ring: $?"

vchan-socket-proxy "$id" "$own/vchan/0/killed-client" - <>vchan.pipe >vchan.out &
await kill-client
kill -9 $!
vchan-socket-proxy -m server "$id" "$here/killed-server" - <>vchan.pipe >vchan.out &
await kill-server
kill -9 $!

# Kills the last program in the middle of what it does, when the guest is at a stage.
kill_at() {
    await "$1"
    kill -9 $!
    wait $!
    status=$?
    [ $status = 137 ] || fail "$1: the program has ended before it was killed: $status"
}

./vchan-echo client "$id" "$own/vchan/0/busy-client" &
kill_at busy-client
./vchan-echo server "$id" "$here/busy-server" 131072 65536 &
kill_at busy-server

# Another guest of the same image, which is destroyed while bytes are on their way: both programs end.
sed "s/^name = .*/name = \"$1-victim\"/; s/^extra = .*/extra = \"victim=yes\"/" "$1.cfg" >other.cfg
xl create other.cfg >/dev/null || fail "the other guest cannot be created"
id=$(xl domid "$1-victim")
own=/local/domain/$id/data
timeout 60 ./vchan-echo client "$id" "$own/vchan/0/victim-server" >vchan.client &
client=$!
timeout 60 ./vchan-echo server "$id" "/local/domain/0/data/vchan/$id/victim-client" 0 0 >vchan.server &
server=$!
await victim
xl destroy "$1-victim"
wait $client || fail "the client of a domain that is gone ends with $?"
wait $server || fail "the server of a domain that is gone ends with $?"
for side in client server; do
    grep -q "the domain is gone" vchan.$side || fail "the $side: $(cat vchan.$side)"
done
rm -f vchan.* other.cfg
exit 0
