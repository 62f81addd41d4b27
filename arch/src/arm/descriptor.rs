//! Bits of a translation table descriptor.
//!
//! ARMv7 with the large physical address extension (ARM DDI 0406C B3.6) and AArch64 with the 4 KiB
//! granule (ARM DDI 0487 D8.3) have the same 64-bit descriptors. Software on both runs at the one
//! level that may use these tables, so nothing is ever accessible to, or executable by, user mode.

/// Entries of one table.
pub const ENTRIES: usize = 512;

/// A descriptor that points to a table of the next level.
pub const TABLE: u64 = 0b11;
/// A descriptor of the last level that maps a page.
const PAGE: u64 = 0b11;
/// A descriptor of another level that maps a block.
const BLOCK: u64 = 0b01;

/// The bits that hold a physical address.
pub const ADDRESS: u64 = 0x0000_ffff_ffff_f000;

/// MAIR index 0: normal memory, write-back, read and write allocate.
const NORMAL: u64 = 0 << 2;
/// MAIR index 1: Device-nGnRE.
const DEVICE: u64 = 1 << 2;
/// AP\[2\]: read-only.
const READ_ONLY: u64 = 1 << 7;
/// SH: inner shareable, which Xen and KVM expect of all memory that they share with a guest.
const INNER_SHAREABLE: u64 = 3 << 8;
/// AF: no fault at the first access.
const ACCESSED: u64 = 1 << 10;
/// Never executed by the kernel's privilege level (PXN).
const PRIVILEGED_NEVER: u64 = 1 << 53;
/// Never executed by user mode (UXN); on ARMv7 never executed at all (XN).
pub const USER_NEVER: u64 = 1 << 54;

/// MAIR_EL1 or MAIR0 for the indices above.
pub const MAIR: u64 = 0xff | 0x04 << 8;

/// What may be done with a mapping. There is none that is both writable and executable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Permissions {
    /// Normal memory that is only read.
    ReadOnly,
    /// Normal memory that is read and written.
    ReadWrite,
    /// Device registers.
    Device,
}

impl Permissions {
    /// The attributes of a page or block with these permissions, without type and address.
    const fn attributes(self) -> u64 {
        let never = PRIVILEGED_NEVER | USER_NEVER | ACCESSED;
        match self {
            Self::ReadOnly => never | NORMAL | INNER_SHAREABLE | READ_ONLY,
            Self::ReadWrite => never | NORMAL | INNER_SHAREABLE,
            Self::Device => never | DEVICE,
        }
    }

    /// The descriptor of a page at physical address 0.
    pub const fn page(self) -> u64 {
        self.attributes() | PAGE
    }

    /// The descriptor of a block at physical address 0.
    pub const fn block(self) -> u64 {
        self.attributes() | BLOCK
    }
}

/// The descriptor of a page of code at physical address 0, which only boot assembly maps. AArch64
/// adds [`USER_NEVER`]; on ARMv7 that bit would forbid all execution.
pub const CODE_PAGE: u64 = PAGE | NORMAL | INNER_SHAREABLE | ACCESSED | READ_ONLY;

/// Whether a descriptor maps or points to anything.
pub const fn is_valid(descriptor: u64) -> bool {
    descriptor & 1 != 0
}

/// Whether a descriptor of a level other than the last points to a table.
pub const fn is_table(descriptor: u64) -> bool {
    descriptor & 0b11 == TABLE
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn descriptors_are_those_of_the_manual() {
        assert_eq!(Permissions::ReadWrite.page(), 0x0060_0000_0000_0703);
        assert_eq!(Permissions::ReadOnly.page(), 0x0060_0000_0000_0783);
        assert_eq!(Permissions::Device.block(), 0x0060_0000_0000_0405);
        assert_eq!(CODE_PAGE | USER_NEVER, 0x0040_0000_0000_0783);
    }

    #[test]
    fn nothing_is_writable_and_executable() {
        for permissions in [Permissions::ReadOnly, Permissions::ReadWrite, Permissions::Device] {
            assert!(permissions.page() & PRIVILEGED_NEVER != 0);
            assert!(permissions.page() & USER_NEVER != 0);
        }
        const { assert!(CODE_PAGE & READ_ONLY != 0) };
    }
}
