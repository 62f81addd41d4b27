//! What the lab takes of Debian.

use super::Xen;

/// The version of Xen, which Debian has in the names of packages and directories. It is that of the
/// release that `debian.rs` names, and so are the versions in the names of libraries below.
pub const VERSION: &str = "4.17";

/// Packages other than the kernel. Libraries are named because nothing is installed, so nothing
/// resolves dependencies.
pub fn packages(debian_arch: &str) -> Vec<String> {
    let mut names: Vec<String> = [
        "xen-utils-common",
        "xenstore-utils",
        "busybox-static",
        "libc6",
        "libfdt1",
        "libgcc-s1",
        "liblzma5",
        "libsmartcols1",
        "libuuid1",
        "libxencall1",
        "libxendevicemodel1",
        "libxenevtchn1",
        "libxenforeignmemory1",
        "libxengnttab1",
        "libxenhypfs1",
        "libxenstore4",
        "libxentoolcore1",
        "libxentoollog1",
        "libyajl2",
        "libzstd1",
        "mount",
        "zlib1g",
    ]
    .map(str::to_owned)
    .into();
    names.push(format!("xen-hypervisor-{VERSION}-{debian_arch}"));
    names.push(format!("xen-utils-{VERSION}"));
    names.push(format!("libxenmisc{VERSION}"));
    names
}

/// The package that depends on the kernel of dom0. On x86 the kernel for clouds cannot be dom0.
pub fn kernel(xen: Xen) -> &'static str {
    match xen {
        Xen::X86_64 => "linux-image-amd64",
        Xen::Aarch64 => "linux-image-cloud-arm64",
        Xen::Armv7 => "linux-image-armmp-lpae",
    }
}

/// Modules of dom0's kernel, in the order in which they need each other. Some are built in, on one
/// architecture or the other.
pub const MODULES: [&str; 23] = [
    "drivers/xen/xen-privcmd",
    "drivers/xen/xenfs/xenfs",
    "drivers/xen/xen-evtchn",
    "drivers/xen/xen-gntdev",
    "drivers/xen/xen-gntalloc",
    "drivers/block/loop",
    "drivers/block/xen-blkback/xen-blkback",
    "net/llc/llc",
    "net/802/stp",
    "net/bridge/bridge",
    "drivers/net/xen-netback/xen-netback",
    "drivers/net/tun",
    "drivers/virtio/virtio_ring",
    "drivers/virtio/virtio",
    "drivers/virtio/virtio_mmio",
    "drivers/virtio/virtio_pci_modern_dev",
    "drivers/virtio/virtio_pci_legacy_dev",
    "drivers/virtio/virtio_pci",
    "drivers/block/virtio_blk",
    "drivers/char/virtio_console",
    "net/core/failover",
    "drivers/net/net_failover",
    "drivers/net/virtio_net",
];

/// Programs that do more than busybox's of the same name, by where Debian has them and dom0 does.
/// `losetup` makes disks with sectors of other sizes.
pub const OTHERS: [(&str, &str); 1] = [("sbin/losetup", "usr/sbin/losetup")];

/// Programs of Xen's, below `usr/lib/xen-VERSION/bin`; not all are there on each architecture.
pub const PROGRAMS: [&str; 11] = [
    "init-dom0less",
    "libxl-save-helper",
    "lsevtchn",
    "oxenstored",
    "vchan-socket-proxy",
    "xen-init-dom0",
    "xenconsole",
    "xenconsoled",
    "xenctx",
    "xenstored",
    "xl",
];
