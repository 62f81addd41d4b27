//! The one error type that an app's `main` needs.

use alloc::boxed::Box;
use core::fmt;

use mayfly_device::DeviceError;

use crate::{block, config, executor, memory, net, random, xen};

/// What went wrong, with the subsystem's own error inside.
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// The network.
    Net(net::Error),
    /// The boot arguments about the network.
    NetConfig(net::ConfigError),
    /// A disk.
    Block(block::Error),
    /// A device, below network and disk.
    Device(DeviceError),
    /// The boot arguments.
    Config(config::ConfigError),
    /// Memory ran out.
    Memory(memory::OutOfMemory),
    /// There is no source of randomness.
    NoEntropy(random::NoEntropy),
    /// XenStore.
    Store(xen::StoreError),
    /// A task whose result was awaited has none.
    Join(executor::JoinError),
    /// A device that the app needs is not there; the text names it and says how to add it.
    Missing(&'static str),
    /// A part that not every app uses, such as vchan: its texts are only in images that have it.
    Other(Box<dyn core::error::Error>),
    /// An error of the app's own.
    App(&'static str),
}

/// A result with [`Error`], and nothing in it by default.
pub type Result<T = (), E = Error> = core::result::Result<T, E>;

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Net(error) => error.fmt(f),
            Self::NetConfig(error) => error.fmt(f),
            Self::Block(error) => error.fmt(f),
            Self::Device(error) => error.fmt(f),
            Self::Config(error) => error.fmt(f),
            Self::Memory(error) => error.fmt(f),
            Self::NoEntropy(error) => error.fmt(f),
            Self::Store(error) => error.fmt(f),
            Self::Join(error) => error.fmt(f),
            Self::Other(error) => error.fmt(f),
            Self::Missing(text) | Self::App(text) => f.write_str(text),
        }
    }
}

impl core::error::Error for Error {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            Self::Net(error) => Some(error),
            Self::NetConfig(error) => Some(error),
            Self::Block(error) => Some(error),
            Self::Device(error) => Some(error),
            Self::Config(error) => Some(error),
            Self::Memory(error) => Some(error),
            Self::NoEntropy(error) => Some(error),
            Self::Store(error) => Some(error),
            Self::Join(error) => Some(error),
            Self::Other(error) => Some(&**error),
            Self::Missing(_) | Self::App(_) => None,
        }
    }
}

macro_rules! from {
    ($($source:ty => $variant:ident),* $(,)?) => {
        $(impl From<$source> for Error {
            fn from(error: $source) -> Self {
                Self::$variant(error)
            }
        })*
    };
}

from! {
    net::Error => Net,
    net::ConfigError => NetConfig,
    block::Error => Block,
    DeviceError => Device,
    config::ConfigError => Config,
    memory::OutOfMemory => Memory,
    random::NoEntropy => NoEntropy,
    xen::StoreError => Store,
    executor::JoinError => Join,
    &'static str => App,
}

impl From<xen::VchanError> for Error {
    fn from(error: xen::VchanError) -> Self {
        Self::Other(Box::new(error))
    }
}

impl From<xen::ConduitError> for Error {
    fn from(error: xen::ConduitError) -> Self {
        Self::Other(Box::new(error))
    }
}

impl From<xen::ChannelError> for Error {
    fn from(error: xen::ChannelError) -> Self {
        Self::Other(Box::new(error))
    }
}
