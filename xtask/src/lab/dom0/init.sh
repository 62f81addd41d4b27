#!/bin/busybox sh
# The first process of dom0: loads the drivers, starts Xen's daemons, and gives a prompt.
/bin/busybox --install -s /bin
export PATH=/bin
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev
mkdir -p /dev/pts /dev/shm
mount -t devpts devpts /dev/pts
mount -t tmpfs tmpfs /dev/shm
mount -t tmpfs tmpfs /run
mkdir -p /run/xen /run/xenstored /run/lock /var/lib/xen/dump /var/log/xen/console
ln -s /run /var/run
ln -s /run/lock /var/lock
# Scripts of others redirect to it.
ln -sf /proc/self/fd /dev/fd

say() {
    echo "lab: $(cut -d' ' -f1 /proc/uptime) s: $*"
}

while read -r module; do
    insmod "/modules/$module" || say "cannot load $module"
done </modules/order
mount -t xenfs xenfs /proc/xen
grep -q control_d /proc/xen/capabilities || say "this is not dom0"
case $(cat /proc/cmdline) in
# Without the option, it keeps a log of all requests in memory.
*lab.store=oxenstored*) oxenstored --pid-file=/run/xenstored.pid --no-access-log ;;
*) xenstored --pid-file=/run/xenstored.pid ;;
esac || say "the daemon of XenStore failed"
tries=0
until xenstore-read -s / >/dev/null 2>&1 || [ $tries -gt 100 ]; do
    tries=$((tries + 1))
    sleep 0.1
done
xen-init-dom0 >/dev/null || say "xen-init-dom0 failed"
xenconsoled --pid-file=/run/xenconsoled.pid --log=all --log-dir=/var/log/xen/console ||
    say "xenconsoled failed"

# Guests, this domain and the network card of the machine, if it has one, are on one bridge.
ip link set lo up
brctl addbr xenbr0
if [ -e /sys/class/net/eth0 ]; then
    brctl addif xenbr0 eth0
    # QEMU answers in the name of everybody. What is for a guest that is not there is not for it.
    echo 0 >/sys/class/net/eth0/brport/unicast_flood
    ip link set eth0 up
fi
ip address add 10.99.0.1/24 dev xenbr0
ip link set xenbr0 up

for port in /sys/class/virtio-ports/vport*; do
    [ ! -e "$port" ] || ln -s "${port##*/}" "/dev/lab-$(cat "$port/name")"
done
for disk in /sys/block/vd*; do
    [ ! -e "$disk" ] || ln -s "${disk##*/}" "/dev/$(cat "$disk/serial")"
done
# Linux on ARM tells Xen the time of day as if both had started at once, so that Xen, and guests, are
# ahead of it by the time that Xen took before. In seconds, that is:
ahead=0
if [ "$(uname -m)" != x86_64 ]; then
    xl debug-keys r
    now=$(xl dmesg | sed -n 's/.*NOW=\([0-9]*\).*/\1/p' | tail -n 1)
    read -r up _ </proc/uptime
    # Nanoseconds, and seconds with two places.
    ahead=$(((${now%???????} - ${up%.*}${up#*.}) / 100))
fi
echo $ahead >/run/xen-ahead
cd /guests || exit
say "ready"
# A serial port for commands, if there is one, has the prompt. The shell's input ends when nobody is
# at the other end.
while [ -e /dev/lab-commands ]; do
    sh <>/dev/lab-commands >&0 2>&1 7</dev/lab-files
    sleep 0.1
done
# Without a controlling terminal there would be no Ctrl-C.
setsid cttyhack sh
poweroff -f
