//! Where the windows of the address space are. 39 bits, all of them through TTBR0:
//!
//! | from | up to | what |
//! |---|---|---|
//! | 0 | 4 GiB | nothing, NULL included |
//! | 4 GiB | 8 GiB | device registers |
//! | 64 GiB | 256 GiB | direct map of physical addresses 0 to 192 GiB |
//! | 256 GiB | 512 GiB | the image, somewhere, see `linker/aarch64.ld` |

use crate::{PhysAddr, PhysRange};

const GIB: usize = 1 << 30;

/// First address of the window for device registers.
pub const DEVICE_BASE: usize = 4 * GIB;
/// End of the window for device registers.
pub const DEVICE_END: usize = 8 * GIB;
/// Where the direct map shows the first address of [`DIRECT`].
pub const DIRECT_BASE: usize = 64 * GIB;
/// The physical addresses that the direct map can show.
pub const DIRECT: PhysRange = PhysRange::between(PhysAddr(0), PhysAddr(192 * GIB as u64));
/// End of the physical addresses that a descriptor can hold.
pub const PHYSICAL_END: u64 = 1 << 48;
