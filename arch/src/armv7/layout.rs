//! Where the windows of the address space are. 32 bits, all of them through TTBR0:
//!
//! | from | up to | what |
//! |---|---|---|
//! | 0 | 256 MiB | nothing, NULL included |
//! | 256 MiB | 768 MiB | the image, somewhere; begins below 752 MiB, see `linker/armv7.ld` |
//! | 768 MiB | 1 GiB | device registers |
//! | 1 GiB | 3.75 GiB | direct map of the same physical addresses |
//!
//! QEMU's machines and Xen's guests have their RAM from physical address 1 GiB on. What lies
//! elsewhere cannot be shown and is left unused.

use crate::{PhysAddr, PhysRange};

const MIB: usize = 1 << 20;

/// First address of the window for device registers.
pub const DEVICE_BASE: usize = 768 * MIB;
/// End of the window for device registers.
pub const DEVICE_END: usize = 1024 * MIB;
/// Where the direct map shows the first address of [`DIRECT`].
pub const DIRECT_BASE: usize = 1024 * MIB;
/// The physical addresses that the direct map can show.
pub const DIRECT: PhysRange =
    PhysRange::between(PhysAddr(DIRECT_BASE as u64), PhysAddr((3840 * MIB) as u64));
/// End of the physical addresses that a descriptor can hold.
pub const PHYSICAL_END: u64 = 1 << 40;
