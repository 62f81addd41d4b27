//! Property values: cells, addresses, interrupts, lists of strings.

use core::slice::ChunksExact;

use super::{Trigger, TimerIrq};
use crate::{Irq, PhysAddr, PhysRange};

/// How many cells (32-bit words) an address and a size take in a node's `reg`.
#[derive(Clone, Copy, Debug)]
pub(super) struct CellSizes {
    pub address: u32,
    pub size: u32,
}

impl CellSizes {
    /// What holds for the children of a node that does not say otherwise.
    pub const DEFAULT: Self = Self { address: 2, size: 1 };
}

/// The value of a property that is one cell.
pub(super) fn cell(value: &[u8]) -> Option<u32> {
    Some(u32::from_be_bytes(value.try_into().ok()?))
}

/// A big-endian number of one or two cells.
pub(super) fn number(value: &[u8]) -> Option<u64> {
    match value.len() {
        4 => cell(value).map(u64::from),
        8 => Some(u64::from_be_bytes(value.try_into().ok()?)),
        _ => None,
    }
}

/// The strings in a list of them, such as `compatible`.
pub(super) fn strings(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value.split(|&byte| byte == 0)
}

/// A `reg` property: ranges of addresses.
#[derive(Clone)]
pub(super) struct Reg<'a> {
    entries: ChunksExact<'a, u8>,
    address_bytes: usize,
}

impl<'a> Reg<'a> {
    /// The property with the parent's cell sizes. `None` if those are not 1 or 2, which no bus with
    /// plain physical addresses has.
    pub fn new(value: &'a [u8], cells: CellSizes) -> Option<Self> {
        if !matches!((cells.address, cells.size), (1 | 2, 1 | 2)) {
            return None;
        }
        let address_bytes = cells.address as usize * 4;
        let entry_bytes = address_bytes + cells.size as usize * 4;
        Some(Self { entries: value.chunks_exact(entry_bytes), address_bytes })
    }
}

/// An entry of `reg` that passes the end of the address space.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Wraps;

impl Iterator for Reg<'_> {
    type Item = Result<PhysRange, Wraps>;

    fn next(&mut self) -> Option<Self::Item> {
        let (address, size) = self.entries.next()?.split_at_checked(self.address_bytes)?;
        let (address, size) = (number(address)?, number(size)?);
        Some(PhysRange::new(PhysAddr(address), size).ok_or(Wraps))
    }
}

/// The `index`th interrupt of an `interrupts` property in the GIC's form: three cells, which are
/// type (0 shared, 1 private), number and flags. Linux' binding arm,gic.txt.
pub(super) fn interrupt(value: &[u8], index: usize) -> Option<TimerIrq> {
    let entry = value.chunks_exact(12).nth(index)?;
    let (kind, rest) = entry.split_at_checked(4)?;
    let (number, flags) = rest.split_at_checked(4)?;
    let (number, flags) = (cell(number)?, cell(flags)?);
    let irq = match (cell(kind)?, number) {
        (0, 0..988) => number + 32,
        (1, 0..16) => number + 16,
        _ => return None,
    };
    let trigger = if flags & 3 != 0 { Trigger::Edge } else { Trigger::Level };
    Some(TimerIrq { irq: Irq(irq), trigger })
}
