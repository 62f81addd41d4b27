//! What the app's `main` is given: the machine that it runs on.

use alloc::{boxed::Box, vec::Vec};
use core::cell::RefCell;

use mayfly_arch::BootInfo;
use mayfly_device::{BlockDevice, NetDevice};

use crate::{
    Result,
    config::{self, BootArguments, ConfigError},
    devices::Devices,
    power::{self, ExitStatus},
};

/// The machine: its boot arguments, and its devices, each of which can be taken once.
pub struct Machine {
    info: &'static BootInfo,
    net: RefCell<Vec<Option<Box<dyn NetDevice>>>>,
    block: RefCell<Vec<Option<Box<dyn BlockDevice>>>>,
}

impl Machine {
    pub(crate) fn new(info: &'static BootInfo, devices: Devices) -> Self {
        Self {
            info,
            net: RefCell::new(devices.net.into_iter().map(Some).collect()),
            block: RefCell::new(devices.block.into_iter().map(Some).collect()),
        }
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
