//! What the app's `main` is given: the machine that it runs on.

use alloc::{boxed::Box, vec::Vec};
use core::{cell::RefCell, mem};

use mayfly_arch::BootInfo;
use mayfly_device::{BlockDevice, NetDevice};

use crate::{
    Error, Result,
    block::Disk,
    config::{self, BootArguments, ConfigError},
    devices::Devices,
    net::{NetConfig, Network},
    power::{self, ExitStatus},
    random,
};

/// The machine: its boot arguments and its devices. A device starts to work when it is first asked
/// for; asking again gives another handle to the same one.
pub struct Machine {
    info: &'static BootInfo,
    networks: RefCell<Vec<Slot<Box<dyn NetDevice>, Network>>>,
    disks: RefCell<Vec<Slot<Box<dyn BlockDevice>, Disk>>>,
}

/// A device before and after it was first asked for.
enum Slot<D, H> {
    Idle(D),
    Started(H),
    /// Starting it failed.
    Lost,
}

impl<D, H: Clone> Slot<D, H> {
    /// The handle to the device, which `start` makes when there is none yet.
    fn handle<E>(&mut self, start: impl FnOnce(D) -> Result<H, E>) -> Option<Result<H, E>> {
        match mem::replace(self, Self::Lost) {
            Self::Lost => None,
            Self::Started(handle) => {
                *self = Self::Started(handle.clone());
                Some(Ok(handle))
            }
            Self::Idle(device) => Some(start(device).inspect(|handle| {
                *self = Self::Started(handle.clone());
            })),
        }
    }
}

impl Machine {
    pub(crate) fn new(info: &'static BootInfo, devices: Devices) -> Self {
        Self {
            info,
            networks: RefCell::new(devices.net.into_iter().map(Slot::Idle).collect()),
            disks: RefCell::new(devices.block.into_iter().map(Slot::Idle).collect()),
        }
    }

    /// The first network, as soon as it has an address: from DHCP, unless the boot argument `ip=`
    /// says otherwise.
    ///
    /// # Errors
    /// [`Error::Missing`] without a network device, [`Error::NetConfig`] if the boot arguments make
    /// no sense, [`Error::Net`] when the device fails.
    pub async fn network(&self) -> Result<Network> {
        let network = self.network_at(0)?;
        network.wait_configured().await?;
        Ok(network)
    }

    /// Network number `index`, in the order in which the devices were found, which may have no
    /// address yet.
    ///
    /// # Errors
    /// As of [`network`](Self::network).
    pub fn network_at(&self, index: usize) -> Result<Network> {
        const MISSING: Error = Error::Missing(
            "there is no such network device; give the guest one more, or ask for fewer",
        );
        let mut networks = self.networks.borrow_mut();
        let slot = networks.get_mut(index).ok_or(MISSING)?;
        let network = slot.handle(|device| {
            let mut config = NetConfig::from_arguments(self.info.command_line, index)?;
            config.seed = random::insecure_seed();
            Ok(Network::start(device, config))
        });
        network.ok_or(MISSING)?
    }

    /// How many network devices there are.
    pub fn networks(&self) -> usize {
        self.networks.borrow().len()
    }

    /// Disk number `index`, in the order in which the devices were found.
    ///
    /// # Errors
    /// [`Error::Missing`] if there are fewer disks.
    pub fn disk(&self, index: usize) -> Result<Disk> {
        const MISSING: Error =
            Error::Missing("there is no such disk; add one with `cargo xtask run --disk FILE`");
        let mut disks = self.disks.borrow_mut();
        let slot = disks.get_mut(index).ok_or(MISSING)?;
        slot.handle(|device| Ok(Disk::start(device))).ok_or(MISSING)?
    }

    /// How many disks there are.
    pub fn disks(&self) -> usize {
        self.disks.borrow().len()
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
