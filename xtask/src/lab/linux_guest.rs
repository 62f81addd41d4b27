//! A Linux guest of the lab's Xen, on the bridge of the others: a peer for tests, and something to
//! compare with. Those who do not ask for it pay nothing.

use anyhow::Result;

use super::Session;
use crate::arch::Arch;
use crate::linux::Linux;
use crate::xl_cfg::Config;

/// Its hardware address.
const MAC: &str = "00:16:3e:00:00:03";
/// Its address in the network of the lab.
pub const ADDRESS: &str = "10.99.0.3";

/// Its memory, in MiB.
const MEMORY: u64 = 128;

/// The files in dom0.
const KERNEL: &str = "/guests/linux-kernel";
const RAMDISK: &str = "/guests/linux-ramdisk";

/// What a Linux guest is made of.
pub struct LinuxGuest {
    arch: Arch,
    linux: Linux,
}

impl LinuxGuest {
    /// Fetches and builds what is not there yet.
    ///
    /// # Errors
    /// If packages cannot be fetched, or the server cannot be built.
    pub fn prepare(arch: Arch) -> Result<Self> {
        Ok(Self { arch, linux: Linux::prepare_for_xen(arch)? })
    }

    /// Name and version of its kernel's package.
    pub fn name(&self) -> &str {
        &self.linux.name
    }

    /// Puts the files into dom0.
    ///
    /// # Errors
    /// If dom0 does not answer.
    pub fn send(&self, session: &mut Session) -> Result<()> {
        for (path, file) in [(KERNEL, &self.linux.kernel), (RAMDISK, &self.linux.initrd)] {
            session.send_file(path, file)?;
        }
        Ok(())
    }

    /// Takes the files away again: dom0 has them in memory.
    ///
    /// # Errors
    /// If dom0 does not answer.
    pub fn remove(session: &mut Session) -> Result<()> {
        session.succeed(&format!("rm -f {KERNEL} {RAMDISK}")).map(|_| ())
    }

    /// What xl is told about it. It serves what `tests/linux-server` does, at [`ADDRESS`].
    pub fn config(&self, disks: Vec<String>) -> Config {
        Config {
            name: format!("linux-{}", self.arch),
            arch: self.arch,
            kernel: KERNEL.into(),
            ramdisk: Some(RAMDISK.into()),
            // It uses RDTSCP.
            native_tsc: true,
            memory: MEMORY,
            least_memory: MEMORY,
            // A Linux that has panicked would take all of the processor.
            arguments: ["console=hvc0", "quiet", "panic=1"]
                .map(str::to_owned)
                .into_iter()
                .chain([format!("address={ADDRESS}/24")])
                .collect(),
            network: true,
            mac: Some(MAC),
            disks,
            preserve: true,
            more: String::new(),
        }
    }
}
