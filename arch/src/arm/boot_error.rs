//! Why a guest cannot boot.

use core::fmt;

use super::{gic::GicError, mmu::MapError};
use crate::fdt::FdtError;

/// Why the machine cannot be used. The text says what to do.
#[derive(Debug)]
pub(crate) enum BootError {
    /// There is no device tree that could be read.
    Tree(FdtError),
    /// The tree cannot be mapped: no RAM can be where the loader's register points.
    TreeUnmappable(MapError),
    /// The tree overlaps the image.
    TreeInImage,
    /// The tree has no interrupt controller.
    NoGic,
    /// Its interrupt controller cannot be used.
    Gic(GicError),
    /// Neither the processor nor the tree says how fast the counter counts.
    NoFrequency,
    /// The tree does not list the memory that the image lies in.
    ImageOutsideMemory,
    /// Image, page tables and what is reserved leave no memory.
    NoMemory,
}

impl fmt::Display for BootError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tree(error) => error.fmt(f),
            Self::TreeUnmappable(error) => write!(
                f,
                "the loader's register does not point to a device tree in memory ({error:?}); \
                 boot the flat image, not the ELF file"
            ),
            Self::TreeInImage => f.write_str(
                "the loader put the device tree and the image in the same place; \
                 give the guest more memory",
            ),
            Self::NoGic => f.write_str(
                "the device tree has no GICv2 or GICv3 that is usable; \
                 choose a machine with one, such as QEMU's `virt`",
            ),
            Self::Gic(error) => error.fmt(f),
            Self::NoFrequency => f.write_str(
                "neither CNTFRQ nor the device tree has the frequency of the timer; \
                 add `clock-frequency` to the timer's node",
            ),
            Self::ImageOutsideMemory => f.write_str(
                "the image does not lie in the memory that the device tree lists; \
                 give the guest more memory",
            ),
            Self::NoMemory => f.write_str(
                "no memory is left besides the image and what the device tree reserves; \
                 give the guest more memory",
            ),
        }
    }
}

impl core::error::Error for BootError {}

impl From<FdtError> for BootError {
    fn from(error: FdtError) -> Self {
        Self::Tree(error)
    }
}
