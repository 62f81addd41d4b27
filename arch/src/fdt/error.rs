//! Why a device tree cannot be used.

use core::fmt;

/// What is wrong with a device tree. Every case means that the loader handed over something else
/// than a tree, or that the memory it lies in was overwritten.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum FdtError {
    /// The first four bytes are not the magic number 0xd00dfeed.
    NotATree,
    /// The total size is smaller than a header or larger than the boot protocol allows.
    BadSize,
    /// Fewer bytes are there than the header says.
    Truncated,
    /// The tree does not start on a multiple of 4.
    Misaligned,
    /// The format version is older than 17 or needs a reader that is newer than 17.
    UnsupportedVersion,
    /// A block lies outside the tree or is not aligned.
    BadHeader,
    /// The structure block has a token where it may not be, or ends too early.
    BadStructure,
    /// Nodes lie in each other deeper than any real tree has them.
    TooDeep,
    /// A property's name or value lies outside its block.
    BadProperty,
    /// No usable memory node.
    NoMemory,
}

impl fmt::Display for FdtError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotATree => {
                "no device tree where the loader's register points; \
                 boot the flat image (not the ELF file), so that the loader passes one"
            }
            Self::BadSize => "the device tree's total size is not between 56 bytes and 2 MiB",
            Self::Truncated => "the device tree is cut off",
            Self::Misaligned => "the device tree does not start on a multiple of 4",
            Self::UnsupportedVersion => {
                "the device tree's format is not version 17; update the loader"
            }
            Self::BadHeader => "the device tree is damaged: its header contradicts itself",
            Self::BadStructure => "the device tree is damaged: its nodes are not nested properly",
            Self::TooDeep => "the device tree is damaged: its nodes are nested too deeply",
            Self::BadProperty => "the device tree is damaged: a property lies outside of it",
            Self::NoMemory => {
                "the device tree names no usable memory; check the loader's memory size"
            }
        })?;
        match self {
            Self::NotATree | Self::UnsupportedVersion | Self::NoMemory => Ok(()),
            _ => f.write_str("; look with `fdtdump` at the one that the loader is given"),
        }
    }
}

impl core::error::Error for FdtError {}
