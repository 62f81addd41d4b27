//! Address space: direct map of RAM, device window, sealing.
//!
//! `boot.S` has mapped the image, with its final permissions, and the tables in the recursive slot.
//! `init` adds the direct map; drivers add registers with [`map_device`]; [`seal`] ends it.
//!
//! | addresses | what |
//! |---|---|
//! | `0xffff_8000_0000_0000`, 512 GiB | direct map: physical address plus this |
//! | `0xffff_ff00_0000_0000`, 512 GiB | page tables (recursive slot), until sealed |
//! | `0xffff_ffff_4000_0000`, 1 GiB | device window |
//! | `IMAGE_BASE` | image |

mod direct;
mod scratch;
mod tables;

use core::{
    fmt,
    ptr::{self, NonNull},
    sync::atomic::{AtomicBool, Ordering},
};

pub(super) use direct::init;
pub(super) use scratch::Unmapped;
use tables::{Flags, Level, RECURSIVE_SLOT, Run, Tables};

use super::{cpuid, image};
use crate::{IrqLock, PAGE_SIZE, PhysAddr, PhysRange};

/// Where physical address 0 is in the direct map: the first address of PML4 slot 256.
const DIRECT_BASE: usize = 0xffff_8000_0000_0000;

/// Size of the direct map: one slot of the PML4.
const DIRECT_SIZE: u64 = 512 << 30;

/// The device window: one slot of the topmost PDPT, below those that the image may take.
const DEVICE_BASE: usize = 0xffff_ffff_4000_0000;
const DEVICE_SIZE: usize = 1 << 30;
const DEVICE_END: usize = DEVICE_BASE + DEVICE_SIZE;

/// Why memory could not be mapped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum MapError {
    /// The page tables are sealed: start-up is over.
    Sealed,
    /// No frame of those set aside is left for another page table.
    OutOfTables,
    /// The device window is full.
    OutOfWindow,
    /// The range is empty, is RAM, or has addresses that the processor cannot form.
    BadRange,
}

impl fmt::Display for MapError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Sealed => "page tables are sealed; map devices while the guest starts",
            Self::OutOfTables => {
                "no page table is left for devices; map less of each, or raise DEVICE_TABLES in \
                 arch/src/x86_64/mmu/direct.rs"
            }
            Self::OutOfWindow => "the device window is full; use fewer devices",
            Self::BadRange => "these addresses cannot belong to a device",
        })
    }
}

impl core::error::Error for MapError {}

struct State {
    tables: Tables,
    /// Bytes of the device window that are taken.
    device_used: usize,
}

const NO_FRAMES: PhysRange = PhysRange::between(PhysAddr(0), PhysAddr(0));

static STATE: IrqLock<State> =
    IrqLock::new(State { tables: Tables::new(NO_FRAMES, NO_FRAMES), device_used: 0 });

static SEALED: AtomicBool = AtomicBool::new(false);

/// The address of RAM in the direct map. Not for devices, and not for the image's own frames.
///
/// # Panics
/// If no RAM can be mapped at `address`, which is 512 GiB or more.
pub fn phys_to_virt(address: PhysAddr) -> NonNull<u8> {
    assert!(address.0 < DIRECT_SIZE, "physical address beyond the direct map");
    let address = DIRECT_BASE + address.0 as usize;
    // The direct map does not start at zero.
    NonNull::new(ptr::with_exposed_provenance_mut(address)).expect("not null")
}

/// The physical address of memory in the direct map or in the image; `None` for all else.
pub fn virt_to_phys(pointer: *const u8) -> Option<PhysAddr> {
    let address = pointer.expose_provenance();
    match address.checked_sub(DIRECT_BASE) {
        Some(offset) if (offset as u64) < DIRECT_SIZE => Some(PhysAddr(offset as u64)),
        _ => image::virt_to_phys(address),
    }
}

/// Maps device registers, uncached, readable, writable and not executable, for as long as the guest
/// runs. Registers on a page that is mapped already are found there again.
pub fn map_device(range: PhysRange) -> Result<NonNull<u8>, MapError> {
    map(range, Flags::DEVICE)
}

/// Maps memory that the hypervisor has put where the guest has none, such as what it shares with
/// the guest: as ordinary data, for as long as the guest runs.
pub fn map_shared(range: PhysRange) -> Result<NonNull<u8>, MapError> {
    map(range, Flags::READ_WRITE)
}

/// Maps what is not RAM. A page that is mapped already keeps its flags.
fn map(range: PhysRange, flags: Flags) -> Result<NonNull<u8>, MapError> {
    STATE.with(|state| {
        if is_sealed() {
            return Err(MapError::Sealed);
        }
        let end = range.end().frame_end().ok_or(MapError::BadRange)?;
        let frames = PhysRange::between(range.start().frame_start(), end);
        if range.is_empty() || end > physical_limit() || state.is_memory(frames) {
            return Err(MapError::BadRange);
        }
        let page = match state.find_device(frames) {
            Some(page) => page,
            None => state.add_device(frames, flags)?,
        };
        let offset = (range.start().0 - frames.start().0) as usize;
        NonNull::new(ptr::with_exposed_provenance_mut(page + offset)).ok_or(MapError::BadRange)
    })
}

/// Ends start-up: no mapping of a page table remains, and none can be made.
pub fn seal() {
    STATE.with(|_| {
        if !SEALED.swap(true, Ordering::Relaxed) {
            // SAFETY: not sealed before. Every use of the slot is behind a check of `SEALED`, under
            // the lock, but for start-up, which is over.
            unsafe { tables::clear_slot(RECURSIVE_SLOT) };
        }
    });
}

/// Whether the page tables are sealed.
pub fn is_sealed() -> bool {
    SEALED.load(Ordering::Relaxed)
}

/// Where page tables are seen until all are sealed.
#[doc(hidden)]
pub fn table_window() -> usize {
    // An entry of the lower half, where nothing is mapped.
    tables::entry(1 << 46, Level::Top).addr()
}

/// What an address lies in, for the fault report.
pub(super) fn describe(address: usize) -> Option<&'static str> {
    const TABLES_BASE: usize = tables::RECURSIVE_BASE;
    const DIRECT_END: usize = DIRECT_BASE + DIRECT_SIZE as usize;
    match address {
        DIRECT_BASE..DIRECT_END => Some("direct map of RAM"),
        TABLES_BASE..tables::RECURSIVE_END => Some("page tables, which are sealed"),
        DEVICE_BASE..DEVICE_END => Some("device window"),
        _ => crate::image::protected_part(address),
    }
}

/// First physical address that this processor cannot form.
pub(super) fn physical_limit() -> PhysAddr {
    PhysAddr(1 << cpuid::physical_bits())
}

/// First physical address that is no use as RAM.
pub(super) fn memory_limit() -> PhysAddr {
    physical_limit().min(PhysAddr(DIRECT_SIZE))
}

impl State {
    /// Whether any of `frames` is in the direct map, the image or the page tables.
    fn is_memory(&self, frames: PhysRange) -> bool {
        if frames.overlaps(image::frames()) || self.tables.own(frames) {
            return true;
        }
        let end = frames.end().0.min(DIRECT_SIZE);
        (frames.start().0..end).step_by(PAGE_SIZE).any(|frame| {
            // SAFETY: the caller has checked that the tables are not sealed.
            unsafe { tables::look_up(DIRECT_BASE + frame as usize) }.is_some()
        })
    }

    /// Where a single frame is mapped already.
    fn find_device(&self, frames: PhysRange) -> Option<usize> {
        if frames.size() != PAGE_SIZE as u64 {
            return None;
        }
        (DEVICE_BASE..DEVICE_BASE + self.device_used).step_by(PAGE_SIZE).find(|&page| {
            // SAFETY: the caller has checked that the tables are not sealed.
            unsafe { tables::look_up(page) }.map(tables::frame_of) == Some(frames.start())
        })
    }

    /// Maps `frames` behind what is taken of the window: all of them, or none.
    fn add_device(&mut self, frames: PhysRange, flags: Flags) -> Result<usize, MapError> {
        let size = usize::try_from(frames.size()).map_err(|_| MapError::OutOfWindow)?;
        if size > DEVICE_SIZE - self.device_used {
            return Err(MapError::OutOfWindow);
        }
        let first = DEVICE_BASE + self.device_used;
        for (page, frame) in
            (first..).step_by(PAGE_SIZE).zip((frames.start().0..frames.end().0).step_by(PAGE_SIZE))
        {
            let run = Run { level: Level::Page, start: PhysAddr(frame), pages: 1 };
            // SAFETY: not sealed; nothing is mapped in the window from `device_used` on, as a call
            // that fails leaves nothing there; and the frames are not memory.
            if let Err(error) = unsafe { self.tables.map(page, run, flags) } {
                for mapped in (first..page).step_by(PAGE_SIZE) {
                    // SAFETY: not sealed; its table exists, as it was mapped above; and nobody was
                    // told of it.
                    unsafe { tables::set_page(mapped, 0) };
                }
                return Err(error);
            }
        }
        self.device_used += size;
        Ok(first)
    }
}
