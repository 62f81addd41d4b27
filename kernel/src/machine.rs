//! What the app's `main` is given: the machine that it runs on.

use alloc::{boxed::Box, vec::Vec};
use core::{any::Any, cell::RefCell, mem, time::Duration};

use mayfly_arch::BootInfo;
use mayfly_xen::store::FoundStore;

use crate::{
    Error, Result,
    block::Disk,
    config::{self, BootArguments, ConfigError},
    devices::{Devices, Found},
    net::{NetConfig, Network},
    power::{self, ExitStatus},
    random, time,
    xen::Xen,
};

/// How long a network waits for an entropy device to answer, if there is no other source.
const ENTROPY_PATIENCE: Duration = Duration::from_secs(1);

/// The machine: its boot arguments and its devices. The driver of a device is started when the
/// device is first asked for; asking again gives another handle to the same one.
pub struct Machine {
    info: &'static BootInfo,
    networks: Slots,
    disks: Slots,
    xen: Slots<FoundStore>,
}

/// Devices of one kind. What is made of them is kept without its type, so that an image only holds
/// the kinds that its app asks for.
struct Slots<F = Found>(RefCell<Vec<Slot<F>>>);

/// A device before and after it was first asked for.
enum Slot<F> {
    Idle(F),
    Started(Box<dyn Any>),
    /// Starting it failed.
    Lost,
}

impl<F> Slots<F> {
    fn new(devices: impl IntoIterator<Item = F>) -> Self {
        Self(RefCell::new(devices.into_iter().map(Slot::Idle).collect()))
    }

    fn count(&self) -> usize {
        self.0.borrow().len()
    }

    /// The handle to device number `index`, which `start` makes when there is none yet; `None` if
    /// there is no such device, or if it does not work.
    fn handle<H: Clone + 'static>(
        &self,
        index: usize,
        start: impl FnOnce(F) -> Option<Result<H>>,
    ) -> Option<Result<H>> {
        let mut slots = self.0.borrow_mut();
        let slot = slots.get_mut(index)?;
        if let Slot::Started(handle) = slot {
            return handle.downcast_ref().cloned().map(Ok);
        }
        let Slot::Idle(found) = mem::replace(slot, Slot::Lost) else { return None };
        let handle = start(found)?;
        if let Ok(handle) = &handle {
            *slot = Slot::Started(Box::new(handle.clone()));
        }
        Some(handle)
    }
}

impl Machine {
    pub(crate) fn new(info: &'static BootInfo, devices: Devices) -> Self {
        Self {
            info,
            networks: Slots::new(devices.net),
            disks: Slots::new(devices.block),
            xen: Slots::new(devices.store),
        }
    }

    /// The first network, as soon as it has an address: from DHCP, unless the boot argument `ip=`
    /// says otherwise.
    ///
    /// # Errors
    /// [`Error::Missing`] without a network device that works, [`Error::NetConfig`] if the boot
    /// arguments make no sense, [`Error::Net`] when the device fails.
    pub async fn network(&self) -> Result<Network> {
        let network = self.network_at(0).await?;
        network.wait_configured().await?;
        Ok(network)
    }

    /// Network number `index`, in the order in which the devices were found, which may have no
    /// address yet. Waits up to a second for random numbers if the only source of them is a device.
    ///
    /// # Errors
    /// As of [`network`](Self::network).
    pub async fn network_at(&self, index: usize) -> Result<Network> {
        const MISSING: Error = Error::Missing(
            "there is no such network device that works; give the guest one more, or ask for fewer",
        );
        // Without them the network works all the same, only that others can guess its numbers.
        let _ = time::timeout(ENTROPY_PATIENCE, random::ready()).await;
        let network = self.networks.handle(index, |found| {
            let config = NetConfig::from_arguments(self.info.command_line, index);
            let start = |mut config: NetConfig| {
                config.seed = random::insecure_seed();
                Some(Network::start(found.start_net()?, config))
            };
            config.map_err(Error::from).map(start).transpose()
        });
        network.ok_or(MISSING)?
    }

    /// How many network devices there are.
    pub fn networks(&self) -> usize {
        self.networks.count()
    }

    /// Disk number `index`, in the order in which the devices were found.
    ///
    /// # Errors
    /// [`Error::Missing`] if there are fewer disks, or it does not work.
    pub fn disk(&self, index: usize) -> Result<Disk> {
        const MISSING: Error = Error::Missing(
            "there is no such disk that works; add one with `cargo xtask run --disk FILE`",
        );
        let start = |found: Found| Some(Ok(Disk::start(found.start_block()?)));
        self.disks.handle(index, start).ok_or(MISSING)?
    }

    /// How many disks there are.
    pub fn disks(&self) -> usize {
        self.disks.count()
    }

    /// Xen, if the guest runs on it and has a XenStore, as every guest that `xl` makes does.
    pub fn xen(&self) -> Option<Xen> {
        self.xen.handle(0, |found| Some(Ok(Xen::start(found)?)))?.ok()
    }

    /// The boot arguments as they were given.
    pub fn command_line(&self) -> &'static str {
        self.info.command_line
    }

    /// The boot arguments, read into the app's struct. Asked for help, prints it and ends the app.
    ///
    /// # Errors
    /// [`Error::Config`](crate::Error::Config), which names the key and says what was expected.
    pub fn arguments<A: BootArguments>(&self) -> Result<A> {
        let result = config::parse(self.info.command_line);
        if let Err(help @ ConfigError::Help(_)) = &result {
            crate::print!("{help}");
            power::off(ExitStatus::SUCCESS);
        }
        Ok(result?)
    }

    /// The first boot module or initrd, if the loader was given one.
    pub fn initrd(&self) -> Option<&'static [u8]> {
        self.info.initrd
    }

    /// Who runs this guest.
    pub fn hypervisor(&self) -> mayfly_arch::Hypervisor {
        self.info.hypervisor
    }
}
