//! What the app's `main` is given: the machine that it runs on.

mod attached;
mod slots;

use alloc::{boxed::Box, vec::Vec};
use core::{
    any::Any,
    cell::{Cell, RefCell},
    time::Duration,
};

use mayfly_arch::BootInfo;
use mayfly_device::Boxed;
use mayfly_xen::store::FoundStore;

use crate::{
    Error, Result,
    block::Disk,
    chart,
    config::{self, BootArguments, ConfigError},
    devices::{Devices, Found},
    net::{NetConfig, Network},
    power::{self, ExitStatus},
    random, time,
    xen::Xen,
};
use slots::{Slots, Startable};

/// How long a network waits for an entropy device to answer, if there is no other source.
const ENTROPY_PATIENCE: Duration = Duration::from_secs(1);

/// The machine: its boot arguments and its devices. The driver of a device is started when the
/// device is first asked for; asking again gives another handle to the same one.
pub struct Machine {
    info: &'static BootInfo,
    networks: Slots<Found>,
    disks: Slots<Found>,
    xen: XenSlot,
}

/// XenStore before and after it was first asked for; as in [`Slots`], without the type of what is
/// made of it.
struct XenSlot {
    found: Cell<Option<FoundStore>>,
    started: RefCell<Option<Box<dyn Any>>>,
}

impl Machine {
    pub(crate) fn new(info: &'static BootInfo, devices: Devices) -> Self {
        Self {
            info,
            networks: Slots::new(devices.net),
            disks: Slots::new(devices.block),
            xen: XenSlot { found: Cell::new(devices.store), started: RefCell::new(None) },
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
        chart::mark("address");
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
        self.find_network(index).await.ok_or(MISSING)?
    }

    /// See [`network_at`](Self::network_at); `None` if there is no such network.
    fn find_network(&self, index: usize) -> Boxed<'_, Option<Result<Network>>> {
        Box::pin(async move {
            // Without them the network works all the same, only that others can guess its numbers.
            let _ = time::timeout(ENTROPY_PATIENCE, random::ready()).await;
            let _awaited = self.xen().map(|xen| xen.await_device());
            self.complete(&self.networks, "vif").await;
            let network = self.networks.handle(index, async |found| {
                let config = match self.net_config(index) {
                    Ok(config) => config,
                    Err(error) => return Some(Err(error)),
                };
                Some(Ok(Network::start(found.start_net().await?, config)))
            });
            network.await
        })
    }

    /// How network number `index` gets its addresses.
    fn net_config(&self, index: usize) -> Result<NetConfig> {
        let mut config = NetConfig::from_arguments(self.info.command_line, index)?;
        config.seed = random::insecure_seed();
        Ok(config)
    }

    /// How many network devices there are.
    pub async fn networks(&self) -> usize {
        self.complete(&self.networks, "vif").await;
        self.networks.count()
    }

    /// Disk number `index`, in the order in which the devices were found.
    ///
    /// # Errors
    /// [`Error::Missing`] if there are fewer disks, or it does not work.
    pub async fn disk(&self, index: usize) -> Result<Disk> {
        const MISSING: Error = Error::Missing(
            "there is no such disk that works; add one with `cargo xtask run --disk FILE`",
        );
        self.find_disk(index).await.ok_or(MISSING)?
    }

    /// See [`disk`](Self::disk); `None` if there is no such disk.
    fn find_disk(&self, index: usize) -> Boxed<'_, Option<Result<Disk>>> {
        Box::pin(async move {
            let _awaited = self.xen().map(|xen| xen.await_device());
            self.complete(&self.disks, "vbd").await;
            let start = async |found: Found| Some(Ok(Disk::start(found.start_block().await?)));
            self.disks.handle(index, start).await
        })
    }

    /// How many disks there are.
    pub async fn disks(&self) -> usize {
        self.complete(&self.disks, "vbd").await;
        self.disks.count()
    }

    /// Adds the devices that XenStore tells of to those that were found at boot. If it fails, the next
    /// who asks for a device tries again.
    fn complete<'a>(&'a self, slots: &'a Slots<Found>, class: &'a str) -> Boxed<'a, ()> {
        Box::pin(async move {
            let _looking = slots.look().await;
            if slots.is_complete() {
                return;
            }
            let devices = match self.xen() {
                Some(xen) => {
                    let devices = xen.devices(class, self.info.command_line).await;
                    chart::mark("XenStore");
                    devices
                }
                None => Ok(Vec::new()),
            };
            match devices {
                Ok(devices) => slots.complete(devices),
                Err(error) => log::error!("Xen's {class} devices cannot be listed: {error}"),
            }
        })
    }

    /// Xen, if the guest runs on it and has a XenStore, as every guest that `xl` makes does.
    pub fn xen(&self) -> Option<Xen> {
        let mut started = self.xen.started.borrow_mut();
        if let Some(found) = self.xen.found.take() {
            *started = Some(Box::new(Xen::start(found, self.info.memory_total)?));
        }
        started.as_ref()?.downcast_ref().cloned()
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

impl Startable for Found {
    fn again(&self) -> Option<Self> {
        match self {
            Self::Xen(device) => Some(Self::Xen(device.clone())),
            _ => None,
        }
    }

    fn name(&self) -> Option<&str> {
        match self {
            Self::Xen(device) => Some(device.directory()),
            _ => None,
        }
    }
}
