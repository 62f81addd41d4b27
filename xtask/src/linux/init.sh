#!/bin/busybox sh
# The first process of the Linux guest: loads the drivers, takes its address, and serves. What the
# kernel does not know of its command line is in the environment.
for module in xen-blkfront xen-netfront failover net_failover virtio_ring virtio virtio_mmio \
    virtio_pci_legacy_dev virtio_pci_modern_dev virtio_pci virtio_net; do
    [ ! -e /modules/$module.ko ] || /bin/busybox insmod /modules/$module.ko
done
/bin/busybox ip link set lo up
/bin/busybox ip address add "${address:-10.77.0.2/24}" dev eth0
/bin/busybox ip link set eth0 up
exec /bin/server /site/style.css
