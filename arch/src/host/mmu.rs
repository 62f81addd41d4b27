//! A process cannot change its page tables; addresses are what they are.

use core::{fmt, ptr::NonNull};

use crate::{PhysAddr, PhysRange};

/// Why device registers could not be mapped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MapError {
    /// A process has no device registers.
    NoDevices,
}

impl fmt::Display for MapError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a process has no device registers")
    }
}

impl core::error::Error for MapError {}

/// The pointer with the same value as the address.
///
/// # Panics
/// At address 0.
pub fn phys_to_virt(address: PhysAddr) -> NonNull<u8> {
    match NonNull::new(address.0 as usize as *mut u8) {
        Some(pointer) => pointer,
        None => panic!("physical address 0 is not mapped"),
    }
}

/// The address with the same value as the pointer, which stands for a physical one.
pub fn virt_to_phys(pointer: *const u8) -> Option<PhysAddr> {
    Some(PhysAddr(pointer.expose_provenance() as u64))
}

/// Fails: a process has no device registers.
pub fn map_device(_registers: PhysRange) -> Result<NonNull<u8>, MapError> {
    Err(MapError::NoDevices)
}

/// Fails: there is no hypervisor that shares memory with a process.
pub fn map_shared(_range: PhysRange) -> Result<NonNull<u8>, MapError> {
    Err(MapError::NoDevices)
}

/// Does nothing: the page tables are the host's.
pub fn seal() {}

/// Whether mappings can no longer change. Always: they never could.
pub fn is_sealed() -> bool {
    true
}
