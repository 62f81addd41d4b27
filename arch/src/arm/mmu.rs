//! The address space after boot assembly: direct map, device window, and the end of changes.

use core::{
    fmt,
    ptr::NonNull,
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
};

use heapless::Vec;

use super::{
    descriptor::Permissions,
    memory_map::frames_of,
    pool::Pool,
    tables::{self, LEVEL_2_SPAN, MappingError},
};
use crate::{
    IrqLock, MAX_REGIONS, PAGE_SIZE, PhysAddr, PhysRange, image,
    machine::{layout, registers},
};

static SPACE: IrqLock<Option<Space>> = IrqLock::new(None);
static SEALED: AtomicBool = AtomicBool::new(false);
static IMAGE: AtomicU64 = AtomicU64::new(0);

/// Why a range of device registers could not be mapped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum MapError {
    /// [`seal`] has run.
    Sealed,
    /// No page table is left.
    OutOfTables,
    /// The address space set aside for devices is full.
    OutOfWindow,
    /// The range is empty, ends beyond the physical address space or holds RAM.
    BadRange,
}

impl fmt::Display for MapError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Sealed => "the page tables are sealed; map devices before start-up ends",
            Self::OutOfTables => "no page table is left; raise SPARE_TABLES in the linker script",
            Self::OutOfWindow => "the device window is full; map less of each device",
            Self::BadRange => {
                "the device's address range is empty, too high or overlaps RAM; \
                 check the device tree or the BAR that it comes from"
            }
        })
    }
}

impl core::error::Error for MapError {}

impl From<MappingError> for MapError {
    fn from(error: MappingError) -> Self {
        match error {
            MappingError::OutOfTables => Self::OutOfTables,
            MappingError::BadRange => Self::BadRange,
        }
    }
}

/// What can still be changed about the address space.
struct Space {
    pool: Pool,
    /// First free address of the device window.
    device_next: usize,
    /// The frames that were mapped last, and where: neighbours in one page share the mapping.
    device_last: Option<(PhysRange, usize)>,
    /// All RAM, which is never mapped as a device.
    memory: Vec<PhysRange, MAX_REGIONS>,
}

impl Space {
    fn map_direct(&mut self, range: PhysRange, rights: Permissions) -> Result<(), MappingError> {
        let virt = phys_to_virt(range.start()).addr().get() as u64;
        let root = self.pool.root();
        tables::map(&mut self.pool, root, virt, range, rights)
    }

    fn map_device(&mut self, range: PhysRange) -> Result<NonNull<u8>, MapError> {
        let frames = self.frames_outside_memory(range)?;
        let virt = match self.device_last {
            Some((last, virt)) if last.start() <= frames.start() && frames.end() <= last.end() => {
                virt + (frames.start().0 - last.start().0) as usize
            }
            _ => {
                let virt = self.map_new(frames, Permissions::Device)?;
                self.device_last = Some((frames, virt));
                virt
            }
        };
        within(virt, range)
    }

    fn map_shared(&mut self, range: PhysRange) -> Result<NonNull<u8>, MapError> {
        let frames = self.frames_outside_memory(range)?;
        within(self.map_new(frames, Permissions::ReadWrite)?, range)
    }

    /// The frames that hold `range`, if that is a range of anything but RAM.
    fn frames_outside_memory(&self, range: PhysRange) -> Result<PhysRange, MapError> {
        let frames = frames_of(range);
        let beyond = range.end().0 > layout::PHYSICAL_END;
        if range.is_empty() || beyond || self.memory.iter().any(|ram| ram.overlaps(frames)) {
            return Err(MapError::BadRange);
        }
        Ok(frames)
    }

    /// Maps `frames` at the next free place of the device window.
    fn map_new(&mut self, frames: PhysRange, rights: Permissions) -> Result<usize, MapError> {
        let size = usize::try_from(frames.size()).map_err(|_| MapError::OutOfWindow)?;
        let mut virt = self.device_next;
        if frames.size() >= LEVEL_2_SPAN {
            // Congruent addresses let large ranges, such as PCI configuration space, use blocks.
            virt = virt.next_multiple_of(LEVEL_2_SPAN as usize)
                + (frames.start().0 % LEVEL_2_SPAN) as usize;
        }
        let end = virt.checked_add(size).filter(|end| *end <= layout::DEVICE_END);
        let end = end.ok_or(MapError::OutOfWindow)?;
        // Even a failure leaves this part of the window alone from now on.
        self.device_next = end + PAGE_SIZE;
        let root = self.pool.root();
        tables::map(&mut self.pool, root, virt as u64, frames, rights)?;
        registers::table_entries_written();
        Ok(virt)
    }
}

/// Where `range` starts, when its first frame is mapped at `virt`.
fn within(virt: usize, range: PhysRange) -> Result<NonNull<u8>, MapError> {
    let offset = (range.start().0 - range.start().frame_start().0) as usize;
    NonNull::new(core::ptr::with_exposed_provenance_mut(virt + offset)).ok_or(MapError::BadRange)
}

/// Takes over the tables of boot assembly.
///
/// # Safety
/// `image` is where the image was loaded, boot assembly has mapped it as ARCHITECTURE.md says, and
/// this is called once, before everything else here.
pub(crate) unsafe fn init(image: PhysAddr) {
    IMAGE.store(image.0, Ordering::Relaxed);
    // SAFETY: what the caller promises is what the pool asks for.
    let pool = unsafe { Pool::new(image) };
    let device_next = layout::DEVICE_BASE;
    SPACE.with(|space| {
        *space = Some(Space { pool, device_next, device_last: None, memory: Vec::new() });
    });
}

/// Tells which addresses are RAM, so that [`map_device`] refuses them.
pub(crate) fn set_memory(memory: &[PhysRange]) {
    SPACE.with(|space| {
        if let Some(space) = space {
            space.memory = memory.iter().copied().take(MAX_REGIONS).collect();
        }
    });
}

/// Maps whole frames of RAM at the address that [`phys_to_virt`] gives, never executable.
///
/// # Errors
/// [`MapError::BadRange`] if the direct map does not reach them or something is mapped there
/// already, [`MapError::OutOfTables`]; part of the range may then be mapped.
pub(crate) fn map_direct(range: PhysRange, rights: Permissions) -> Result<(), MapError> {
    if !layout::DIRECT.contains(range.start()) || range.end() > layout::DIRECT.end() {
        return Err(MapError::BadRange);
    }
    SPACE.with(|space| {
        let space = space.as_mut().ok_or(MapError::Sealed)?;
        let result = space.map_direct(range, rights);
        registers::table_entries_written();
        Ok(result?)
    })
}

/// Takes the mapping of whole frames away that [`map_direct`] made, unless a block maps them.
///
/// # Errors
/// [`MapError::BadRange`], if part of the range is not mapped by pages.
///
/// # Safety
/// Nobody has a reference to what is mapped there.
pub(crate) unsafe fn unmap_direct(range: PhysRange) -> Result<(), MapError> {
    SPACE.with(|space| {
        let space = space.as_mut().ok_or(MapError::Sealed)?;
        let virt = phys_to_virt(range.start()).addr().get() as u64;
        let root = space.pool.root();
        let result = tables::unmap(&mut space.pool, root, virt, virt + range.size());
        registers::invalidate_tlb();
        Ok(result?)
    })
}

/// How many page tables are left.
pub(crate) fn tables_left() -> usize {
    SPACE.with(|space| space.as_ref().map_or(0, |space| space.pool.left()))
}

/// Where page tables are seen until all are sealed.
#[doc(hidden)]
pub fn table_window() -> usize {
    image::tables().start
}

/// Gives frames to the page tables that are not mapped and that nobody uses.
///
/// # Errors
/// [`MapError`] if they cannot be taken; they stay unused then.
pub(crate) fn add_tables(frames: PhysRange) -> Result<(), MapError> {
    SPACE.with(|space| Ok(space.as_mut().ok_or(MapError::Sealed)?.pool.extend(frames)?))
}

/// Where the direct map shows `address`, which must be RAM.
pub fn phys_to_virt(address: PhysAddr) -> NonNull<u8> {
    // An address outside of the window gives a pointer to something unmapped, not a wrong one.
    let offset = address.0.wrapping_sub(layout::DIRECT.start().0).min(layout::DIRECT.size());
    let virt = layout::DIRECT_BASE + offset as usize;
    NonNull::new(core::ptr::with_exposed_provenance_mut(virt)).unwrap_or(NonNull::dangling())
}

/// The physical address of what `pointer` points to, in the direct map or in the image. `None` for
/// device registers, page tables and everything else.
pub fn virt_to_phys(pointer: *const u8) -> Option<PhysAddr> {
    let virt = pointer.addr();
    if let Some(offset) = virt.checked_sub(layout::DIRECT_BASE)
        && (offset as u64) < layout::DIRECT.size()
    {
        return Some(PhysAddr(layout::DIRECT.start().0 + offset as u64));
    }
    let image = image::all().start..image::tables().start;
    image
        .contains(&virt)
        .then(|| PhysAddr(IMAGE.load(Ordering::Relaxed) + (virt - image.start) as u64))
}

/// Maps device registers for reading and writing, never executable, as Device-nGnRE memory, and
/// returns where `range` starts. Ranges in one page may share a mapping; there is no way back.
///
/// # Errors
/// [`MapError`]; nothing of `range` can be used then.
pub fn map_device(range: PhysRange) -> Result<NonNull<u8>, MapError> {
    SPACE.with(|space| space.as_mut().ok_or(MapError::Sealed)?.map_device(range))
}

/// Maps memory that the hypervisor has put where the guest has none, such as what it shares with
/// the guest: as normal memory, for reading and writing, never executable. Returns where `range`
/// starts.
///
/// # Errors
/// [`MapError`]; nothing of `range` can be used then.
pub fn map_shared(range: PhysRange) -> Result<NonNull<u8>, MapError> {
    SPACE.with(|space| space.as_mut().ok_or(MapError::Sealed)?.map_shared(range))
}

/// Ends all changes to the address space: the window through which page tables can be written is
/// unmapped, and [`map_device`] fails from now on.
pub fn seal() {
    SPACE.with(|space| {
        if let Some(space) = space.take() {
            space.pool.seal();
            SEALED.store(true, Ordering::Relaxed);
        }
    });
}

/// Whether [`seal`] has run.
pub fn is_sealed() -> bool {
    SEALED.load(Ordering::Relaxed)
}

/// Whether `address` is where registers of devices are mapped.
pub(crate) fn is_device(address: usize) -> bool {
    (layout::DEVICE_BASE..layout::DEVICE_END).contains(&address)
}

/// Names the place outside of the image that `address` lies in, for the fault report.
pub(crate) fn window_of(address: usize) -> Option<&'static str> {
    let direct_end = layout::DIRECT_BASE + layout::DIRECT.size() as usize;
    if (layout::DIRECT_BASE..direct_end).contains(&address) {
        Some("direct map of RAM")
    } else if is_device(address) {
        Some("device window")
    } else {
        None
    }
}
