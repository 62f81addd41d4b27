//! A Linux guest, of QEMU or of the lab's Xen, to compare with and to talk with: Debian's cloud
//! kernel and nothing but a server.
//!
//! It is as fast as a Linux guest gets: no daemon, no firewall, a static server that answers from
//! memory ([`tests/linux-server`]) as the first process.
//!
//! [`tests/linux-server`]: ../../../tests/linux-server/src/main.rs

mod program;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::arch::Arch;
use crate::debian::Packages;
use crate::{cpio, paths, shared};

pub use program::program;

/// What a guest is booted from.
pub struct Linux {
    /// The kernel.
    pub kernel: PathBuf,
    /// The first file system.
    pub initrd: PathBuf,
    /// Name and version of the kernel's package.
    pub name: String,
}

/// Drivers for the devices of QEMU's machines; not all are modules on each architecture.
const FOR_QEMU: [&str; 9] = [
    "drivers/virtio/virtio.ko",
    "drivers/virtio/virtio_ring.ko",
    "drivers/virtio/virtio_mmio.ko",
    "drivers/virtio/virtio_pci_legacy_dev.ko",
    "drivers/virtio/virtio_pci_modern_dev.ko",
    "drivers/virtio/virtio_pci.ko",
    "net/core/failover.ko",
    "drivers/net/net_failover.ko",
    "drivers/net/virtio_net.ko",
];

/// Drivers for what Xen's dom0 offers.
const FOR_XEN: [&str; 2] = ["drivers/net/xen-netfront.ko", "drivers/block/xen-blkfront.ko"];

impl Linux {
    /// Fetches and builds what is missing for QEMU's machines.
    ///
    /// # Errors
    /// If packages cannot be fetched, or the server cannot be built.
    pub fn prepare(arch: Arch) -> Result<Self> {
        Self::with_drivers(arch, &FOR_QEMU, "cpio")
    }

    /// Fetches and builds what is missing for Xen.
    ///
    /// # Errors
    /// As for [`prepare`](Self::prepare).
    pub fn prepare_for_xen(arch: Arch) -> Result<Self> {
        Self::with_drivers(arch, &FOR_XEN, "xen.cpio")
    }

    fn with_drivers(arch: Arch, drivers: &[&str], extension: &str) -> Result<Self> {
        // First, because it takes a while in which others may have the packages.
        let server = program("linux-server", "linux-server", arch)?;
        let packages = Packages::of(arch)?;
        let name = packages.dependency(match arch {
            Arch::X86_64 => "linux-image-cloud-amd64",
            Arch::Aarch64 => "linux-image-cloud-arm64",
            Arch::Armv7 => "linux-image-armmp-lpae",
        })?;
        let tree = packages.unpack("linux", &[&name, "busybox-static"])?;
        let kernel = only_file(&tree.join("boot"), "vmlinuz")?;
        let modules = only_file(&tree.join("lib/modules"), "")?.join("kernel");
        let drivers: Vec<PathBuf> = drivers.iter().map(|driver| modules.join(driver)).collect();
        let initrd = tree.with_extension(extension);
        shared::replace(&initrd, &initramfs(&tree, &drivers, &server)?)?;
        Ok(Self { kernel, initrd, name })
    }
}

/// The only entry of a directory whose name starts with `prefix`.
pub fn only_file(directory: &Path, prefix: &str) -> Result<PathBuf> {
    let entries = fs::read_dir(directory)
        .with_context(|| format!("there is no {}", directory.display()))?
        .flatten()
        .map(|entry| entry.path());
    let is_it = |path: &PathBuf| {
        path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(prefix))
    };
    let mut found: Vec<PathBuf> = entries.filter(is_it).collect();
    match (found.pop(), found.pop()) {
        (Some(only), None) => Ok(only),
        _ => bail!("not one {prefix}* in {}", directory.display()),
    }
}

/// The first file system.
fn initramfs(tree: &Path, drivers: &[PathBuf], server: &Path) -> Result<Vec<u8>> {
    let mut archive = cpio::Archive::default();
    let read =
        |path: &Path| fs::read(path).with_context(|| format!("cannot read {}", path.display()));
    for directory in ["dev", "bin", "modules", "site"] {
        archive.directory(directory);
    }
    archive.character_device("dev/console", 5, 1);
    // Xen's first disk (Linux's Documentation/admin-guide/devices.txt).
    archive.block_device("dev/xvda", 202, 0);
    archive.file("init", include_bytes!("init.sh"));
    archive.file("bin/busybox", &read(&tree.join("bin/busybox"))?);
    archive.file("bin/server", &read(server)?);
    let style = paths::repository().join("examples/http/site/style.css");
    archive.file("site/style.css", &read(&style)?);
    for driver in drivers {
        if let (Some(name), true) = (driver.file_name(), driver.is_file()) {
            archive.file(&format!("modules/{}", name.to_string_lossy()), &read(driver)?);
        }
    }
    Ok(archive.finish())
}
