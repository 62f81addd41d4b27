//! Where the image lies in physical memory.

use crate::{PhysAddr, PhysRange, image};

/// Physical address of the image's first byte. The ELF file asks for it, and on x86-64 every loader
/// obeys (`linker/x86_64.ld`).
const PHYS_BASE: u64 = 0x10_0000;

/// The memory that the image takes, page tables included.
pub(super) fn frames() -> PhysRange {
    PhysRange::between(PhysAddr(PHYS_BASE), PhysAddr(PHYS_BASE + image::all().len() as u64))
}

/// Physical address of an address within the image window.
pub(super) fn virt_to_phys(address: usize) -> Option<PhysAddr> {
    let image = image::all();
    image.contains(&address).then(|| PhysAddr(PHYS_BASE + (address - image.start) as u64))
}
