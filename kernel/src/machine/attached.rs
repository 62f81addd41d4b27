//! Devices that come while the guest runs.

use alloc::{
    string::{String, ToString},
    vec::Vec,
};
use core::mem;

use super::{Found, Machine, Slots, slots::Startable};
use crate::{
    Error, Result,
    block::Disk,
    net::Network,
    sync::MutexGuard,
    time::{self, Duration},
    xen::{Watch, Xen},
};

/// How long a device that did not work is left alone: what is left of it may have to be cleared away.
/// It doubles with each try, so that one that never works does not fill the log.
const PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(16);

/// How long to wait for a device's back end before others have their turn.
const PATIENCE: Duration = Duration::from_secs(10);

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
        let mut lookout = self.lookout(&self.disks, "vbd").await?;
        loop {
            let (attaching, found, name) = lookout.next(self).await?;
            if let Some(device) = within_patience(&name, found.start_block()).await {
                let disk = Disk::start(device);
                self.disks.add(name, disk.clone());
                return Ok(disk);
            }
            lookout.rest(name, attaching).await;
        }
    }

    /// Waits for a network card that is attached while the guest runs, as `xl network-attach` does
    /// it under Xen, and gives it the next number. Its boot arguments are those of that number
    /// (`net1.ip=` for the second); there may be no address yet. A card that is detached keeps its
    /// number, and what uses it fails with [`net::Error::DeviceGone`](crate::net::Error::DeviceGone)
    /// from then on; if it comes back, it is another.
    ///
    /// # Errors
    /// [`Error::Missing`] where no card can be attached, [`Error::Store`] if XenStore fails,
    /// [`Error::NetConfig`] if the boot arguments make no sense.
    pub async fn attached_network(&self) -> Result<Network> {
        let mut lookout = self.lookout(&self.networks, "vif").await?;
        loop {
            let (attaching, found, name) = lookout.next(self).await?;
            let config = self.net_config(self.networks.count())?;
            if let Some(device) = within_patience(&name, found.start_net()).await {
                let network = Network::start(device, config);
                self.networks.add(name, network.clone());
                return Ok(network);
            }
            lookout.rest(name, attaching).await;
        }
    }

    async fn lookout<'a>(
        &self,
        slots: &'a Slots<Found>,
        class: &'static str,
    ) -> Result<Lookout<'a>> {
        const MISSING: Error = Error::Missing("devices can only be attached to a guest of Xen");
        let xen = self.xen().ok_or(MISSING)?;
        let watch = xen.store().watch(&alloc::format!("device/{class}")).await?;
        Ok(Lookout { xen, watch, slots, class, pause: PAUSE, failed: Vec::new(), is_due: false })
    }
}

/// The device of this name, if it starts soon.
async fn within_patience<D>(name: &str, start: impl Future<Output = Option<D>>) -> Option<D> {
    time::timeout(PATIENCE, start).await.unwrap_or_else(|_| {
        log::warn!("{name}: its back end is not ready; it is tried again later");
        None
    })
}

/// Who looks for new devices of a class.
struct Lookout<'a> {
    xen: Xen,
    watch: Watch,
    slots: &'a Slots<Found>,
    class: &'static str,
    pause: Duration,
    /// Names of devices that did not work.
    failed: Vec<String>,
    /// Whether to look without being told.
    is_due: bool,
}

impl<'a> Lookout<'a> {
    /// The next new device, and its name. Nobody else starts one as long as the guard is there.
    async fn next(&mut self, machine: &Machine) -> Result<(MutexGuard<'a, ()>, Found, String)> {
        loop {
            // The first event comes at once. After a rest there may be others that have come before.
            if !mem::take(&mut self.is_due) {
                self.watch.next().await?;
            }
            let attaching = self.slots.attach().await;
            machine.complete(self.slots, self.class).await;
            let mut devices = self.xen.devices(self.class, machine.info.command_line).await?;
            // Those that did not work have their turn after the others.
            devices.sort_by_key(|found| self.failed.iter().any(|name| found.name() == Some(name)));
            let is_known = |name: &str| !self.xen.detached().contains(name);
            if let Some(found) = self.slots.first_new(devices, is_known) {
                let name = found.name().unwrap_or_default().to_string();
                return Ok((attaching, found, name));
            }
        }
    }

    /// Leaves the device of this name, which did not work, alone for a while.
    async fn rest(&mut self, name: String, attaching: MutexGuard<'a, ()>) {
        drop(attaching);
        if !self.failed.contains(&name) {
            self.failed.push(name);
        }
        time::sleep(self.pause).await;
        self.is_due = true;
        self.pause = LONGEST_PAUSE.min(2 * self.pause);
    }
}
