//! Devices that come while the guest runs.

use alloc::string::ToString;

use super::{Machine, slots::Startable};
use crate::{
    Error, Result,
    block::Disk,
    time::{self, Duration},
};

/// How long a disk that did not work is left alone: what is left of it may have to be cleared away.
/// It doubles with each try, so that one that never works does not fill the log.
const PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(16);

impl Machine {
    /// Waits for a disk that is attached while the guest runs, as `xl block-attach` does it under
    /// Xen, and gives it the next number. A disk that is detached keeps its number, and fails with
    /// `DeviceError::Gone` from then on; if it comes back, it is another.
    ///
    /// ```no_run
    /// # async fn example(machine: mayfly::Machine) -> mayfly::Result {
    /// loop {
    ///     let disk = machine.attached_disk().await?;
    ///     mayfly::println!("a disk of {} bytes", disk.size());
    /// }
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`Error::Missing`] where no disk can be attached, [`Error::Store`] if XenStore fails.
    pub async fn attached_disk(&self) -> Result<Disk> {
        const MISSING: Error = Error::Missing("disks can only be attached to a guest of Xen");
        let xen = self.xen().ok_or(MISSING)?;
        let mut watch = xen.store().watch("device/vbd").await?;
        let mut pause = PAUSE;
        loop {
            // The first event comes at once.
            watch.next().await?;
            let alone = self.disks.alone().await;
            self.complete(&self.disks, "vbd").await;
            let devices = xen.devices("vbd", self.info.command_line).await;
            let Some(found) = self.disks.first_new(devices) else { continue };
            let name = found.name().unwrap_or_default().to_string();
            if let Some(device) = found.start_block().await {
                let disk = Disk::start(device);
                self.disks.add(name, disk.clone());
                return Ok(disk);
            }
            // Others have theirs meanwhile.
            drop(alone);
            time::sleep(pause).await;
            pause = LONGEST_PAUSE.min(2 * pause);
        }
    }
}
