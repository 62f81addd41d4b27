//! The memory of a PCI function.

use core::ptr::NonNull;

use mayfly_arch::{PAGE_SIZE, PhysAddr, PhysRange, mmu};
use virtio_drivers::transport::pci::bus::{BarInfo, DeviceFunction, PciRoot};

use super::configuration::PortConfiguration;
use crate::{FindError, StartError};

/// Most of the memory behind one base address register that is mapped. The registers of a device
/// lie in its first pages; where a notification register for every possible queue follows, those
/// of the first queues are enough.
const MAX_MAPPED: u64 = 64 * 1024;

/// The memory behind each of a function's base address registers, mapped for ever.
#[derive(Debug)]
pub(super) struct Bars([Option<NonNull<[u8]>>; 6]);

impl Bars {
    /// Finds out where the memory is and maps it.
    pub(super) fn map(address: DeviceFunction) -> Result<Self, FindError> {
        let infos = PciRoot::new(PortConfiguration).bars(address);
        let mut bars = [None; 6];
        for (bar, info) in bars.iter_mut().zip(infos.map_err(|_| FindError::Configuration)?) {
            if let Some(BarInfo::Memory { address: base @ 1.., size, .. }) = info {
                *bar = Some(map(base, size)?);
            }
        }
        Ok(Self(bars))
    }

    /// The registers from `offset` on, `length` bytes or as many of them as are mapped, as a slice
    /// of `T`.
    ///
    /// # Errors
    /// [`StartError::Configuration`] if not one is there.
    pub(super) fn registers<T>(
        &self,
        bar: u8,
        offset: u32,
        length: u32,
    ) -> Result<NonNull<[T]>, StartError> {
        let memory = self.0.get(usize::from(bar)).copied().flatten();
        memory.and_then(|memory| slice(memory, offset, length)).ok_or(StartError::Configuration)
    }
}

fn map(base: u64, size: u64) -> Result<NonNull<[u8]>, FindError> {
    let range = PhysRange::new(PhysAddr(base), size.min(MAX_MAPPED)).ok_or(FindError::Place)?;
    let end = range.end().frame_end().ok_or(FindError::Place)?;
    let pages = PhysRange::between(range.start().frame_start(), end);
    let mapped = mmu::map_device(pages).map_err(FindError::Map)?;
    // SAFETY: the memory starts within the first page that was mapped.
    let start = unsafe { mapped.byte_add((base % PAGE_SIZE as u64) as usize) };
    Ok(NonNull::slice_from_raw_parts(start, range.size() as usize))
}

fn slice<T>(memory: NonNull<[u8]>, offset: u32, length: u32) -> Option<NonNull<[T]>> {
    let (offset, length) = (usize::try_from(offset).ok()?, usize::try_from(length).ok()?);
    let count = memory.len().checked_sub(offset)?.min(length) / size_of::<T>();
    // SAFETY: the offset is not more than the length of the memory.
    let start = unsafe { memory.cast::<u8>().byte_add(offset) }.cast::<T>();
    (count > 0 && start.is_aligned()).then(|| NonNull::slice_from_raw_parts(start, count))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn registers_lie_within_the_memory() {
        let mut memory = [0_u32; 0x400];
        let memory = NonNull::from(&mut memory[..]);
        let memory = NonNull::slice_from_raw_parts(memory.cast::<u8>(), 0x1000);
        let length = |offset, length| slice::<u32>(memory, offset, length).map(NonNull::len);
        assert_eq!(length(0xf00, 0x100), Some(0x40));
        assert_eq!(length(0xf00, 0x101), Some(0x40));
        assert_eq!(length(0xffc, u32::MAX), Some(1));
        for (offset, asked) in
            [(0x1000, 4), (0x1004, 4), (0, 3), (0xffe, 4), (2, 4), (u32::MAX, u32::MAX)]
        {
            assert_eq!(length(offset, asked), None);
        }
    }
}
