//! A part of a device's memory.

use core::ptr::NonNull;

use mayfly_arch::{PAGE_SIZE, PhysAddr, PhysRange, mmu};

use crate::StartError;

/// A range of registers, checked to lie within the device's memory, not yet mapped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Region(PhysRange);

impl Region {
    /// The `length` bytes from `offset` in `size` bytes of memory at `base`, or `None` if they do
    /// not lie within them.
    pub(super) fn new(base: u64, size: u64, offset: u32, length: u32) -> Option<Self> {
        let (offset, length) = (u64::from(offset), u64::from(length));
        let fits = offset.checked_add(length)? <= size && length > 0;
        base.checked_add(size)?;
        fits.then(|| PhysRange::new(PhysAddr(base + offset), length).map(Self))?
    }

    /// Maps the registers as a slice of `T`, cut to whole ones.
    pub(super) fn map<T>(self) -> Result<NonNull<[T]>, StartError> {
        let start = self.0.start();
        let end = self.0.end().frame_end().ok_or(StartError::Map)?;
        if !start.0.is_multiple_of(align_of::<T>() as u64) {
            return Err(StartError::Configuration);
        }
        let pages = PhysRange::between(start.frame_start(), end);
        let base = mmu::map_device(pages).map_err(|_| StartError::Map)?;
        // SAFETY: the registers start within the first page that was mapped.
        let registers = unsafe { base.byte_add((start.0 % PAGE_SIZE as u64) as usize) };
        let count = usize::try_from(self.0.size()).map_err(|_| StartError::Map)? / size_of::<T>();
        Ok(NonNull::slice_from_raw_parts(registers.cast(), count))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_region_lies_within_its_memory() {
        assert!(Region::new(0x1000, 0x1000, 0xf00, 0x100).is_some());
        for (base, size, offset, length) in [
            (0x1000, 0x1000, 0xf00, 0x101),
            (0x1000, 0x1000, 0x1000, 0),
            (0x1000, 0x1000, u32::MAX, u32::MAX),
            (u64::MAX, 0x1000, 0, 0x10),
        ] {
            assert_eq!(Region::new(base, size, offset, length), None);
        }
    }
}
