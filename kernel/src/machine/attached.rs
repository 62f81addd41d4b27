//! Devices that come while the guest runs.

use alloc::{boxed::Box, rc::Rc, string::String};
use core::{any::Any, marker::PhantomData};

use mayfly_device::Boxed;
use mayfly_xen::bus::Arrivals;

use super::{Found, Machine, Slots};
use crate::{
    Error, Result,
    block::Disk,
    net::Network,
    random,
    sync::MutexGuard,
    time::{self, Duration},
    xen::Detached,
};

const MISSING: Error = Error::Missing("devices can only be attached to a guest of Xen");

/// How long a back end may take before the log says that it is waited for.
const PATIENCE: Duration = Duration::from_secs(10);

impl Machine {
    /// Waits for a disk that is attached while the guest runs, as `xl block-attach` does it under
    /// Xen, and gives it the next number. A disk that is detached keeps its number, and fails with
    /// `DeviceError::Gone` from then on; if it comes back, it is another.
    ///
    /// Those that come at the same time connect at the same time, and the first that works is the
    /// next. Nothing is lost when this is dropped and called again later.
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
        let start = |found: Found| Box::pin(found.start_block()) as _;
        let mut lookout = self.lookout(&self.disks, "vbd", start).await?;
        let (name, device) = lookout.next().await?;
        let disk = Disk::start(device);
        self.disks.add(name, disk.clone());
        Ok(disk)
    }

    /// Waits for a network card that is attached while the guest runs, as `xl network-attach` does
    /// it under Xen, and gives it the next number. Its boot arguments are those of that number
    /// (`net1.ip=` for the second); there may be no address yet. A card that is detached keeps its
    /// number, and what uses it fails with [`net::Error::DeviceGone`](crate::net::Error::DeviceGone)
    /// from then on; if it comes back, it is another.
    ///
    /// Those that come at the same time connect as [disks](Self::attached_disk) do.
    ///
    /// # Errors
    /// [`Error::Missing`] where no card can be attached, [`Error::Store`] if XenStore fails,
    /// [`Error::NetConfig`] if the boot arguments make no sense.
    pub async fn attached_network(&self) -> Result<Network> {
        let start = |found: Found| Box::pin(found.start_net()) as _;
        let mut lookout = self.lookout(&self.networks, "vif", start).await?;
        // If they make no sense, a card that has come is left to the next call.
        let mut config = self.net_config(self.networks.count())?;
        let (name, device) = lookout.next().await?;
        config.seed = random::insecure_seed();
        let network = Network::start(device, config);
        self.networks.add(name, network.clone());
        Ok(network)
    }

    /// Waits until nobody else waits for devices of this class, which are started by `start`.
    async fn lookout<'a, D: 'static>(
        &self,
        slots: &'a Slots<Found>,
        class: &'static str,
        start: fn(Found) -> Boxed<'static, Option<D>>,
    ) -> Result<Lookout<'a, D>> {
        let xen = self.xen().ok_or(MISSING)?;
        let mut arrivals = slots.arrivals().await;
        self.complete(slots, class).await;
        if arrivals.is_none() {
            let finder = xen.finder(self.info.command_line);
            let start = Rc::new(move |directory: String| {
                Box::pin(within_patience(directory.clone(), start(finder(directory)))) as _
            });
            let sleep = Rc::new(|time| Box::pin(time::sleep(time)) as _);
            let new = Arrivals::<D>::new(&xen.store(), class, start, sleep).await?;
            *arrivals = Some(Box::new(new));
        }
        Ok(Lookout { slots, arrivals, detached: xen.detached().clone(), device: PhantomData })
    }
}

/// Waits for a device to start, and says so if that takes long.
async fn within_patience<D>(name: String, mut start: Boxed<'static, D>) -> D {
    if let Ok(device) = time::timeout(PATIENCE, start.as_mut()).await {
        return device;
    }
    log::warn!("{name}: its back end is not ready; it is waited for");
    start.await
}

/// Who looks for new devices of a class.
struct Lookout<'a, D> {
    slots: &'a Slots<Found>,
    arrivals: MutexGuard<'a, Option<Box<dyn Any>>>,
    detached: Detached,
    device: PhantomData<D>,
}

impl<D: 'static> Lookout<'_, D> {
    /// The next device that works, and its name. It is the caller's to add it.
    async fn next(&mut self) -> Result<(String, D)> {
        let arrivals = self.arrivals.as_mut().and_then(|any| any.downcast_mut::<Arrivals<D>>());
        let is_known = |name: &str| !self.detached.contains(name);
        let next = arrivals.ok_or(MISSING)?.next(|names| self.slots.new_among(names, is_known));
        Ok(next.await?)
    }
}
