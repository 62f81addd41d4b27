//! Property values: cells, addresses, interrupts, lists of strings.

use super::{TimerIrq, Trigger};
use crate::{Irq, PhysAddr, PhysRange};

/// How many cells (32-bit words) an address and a size take in a node's `reg`.
#[derive(Clone, Copy, Debug)]
pub(super) struct CellSizes {
    pub address: u64,
    pub size: u64,
}

impl CellSizes {
    /// What holds for the children of a node that does not say otherwise.
    pub const DEFAULT: Self = Self { address: 2, size: 1 };
}

/// The value of a property that is one cell.
fn cell(value: &[u8]) -> Option<u32> {
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

/// A `reg` property: ranges of addresses. A rest that is no whole entry is ignored.
#[derive(Clone)]
pub(super) struct Reg<'a> {
    rest: &'a [u8],
    address_bytes: usize,
    size_bytes: usize,
}

impl<'a> Reg<'a> {
    /// The property with the parent's cell sizes. Has no entries if those are not 1 or 2, which
    /// they are wherever addresses are physical addresses.
    pub fn new(value: &'a [u8], cells: CellSizes) -> Self {
        let (address_bytes, size_bytes) = match (cells.address, cells.size) {
            (1, 1) => (4, 4),
            (1, 2) => (4, 8),
            (2, 1) => (8, 4),
            (2, 2) => (8, 8),
            _ => return Self { rest: b"", address_bytes: 4, size_bytes: 4 },
        };
        Self { rest: value, address_bytes, size_bytes }
    }
}

/// An entry of `reg` that passes the end of the address space.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Wraps;

impl Iterator for Reg<'_> {
    type Item = Result<PhysRange, Wraps>;

    fn next(&mut self) -> Option<Self::Item> {
        let (address, rest) = self.rest.split_at_checked(self.address_bytes)?;
        let (size, rest) = rest.split_at_checked(self.size_bytes)?;
        self.rest = rest;
        let (address, size) = (number(address)?, number(size)?);
        Some(PhysRange::new(PhysAddr(address), size).ok_or(Wraps))
    }
}

/// The `index`th interrupt of an `interrupts` property in the GIC's form: three cells, which are
/// type (0 shared, 1 private), number and flags. Linux' binding arm,gic.txt.
pub(super) fn interrupt(value: &[u8], index: usize) -> Option<TimerIrq> {
    let (&[kind, number, flags], _) =
        value.as_chunks::<4>().0.get(index * 3..)?.split_first_chunk()?;
    let (kind, number) = (u32::from_be_bytes(kind), u32::from_be_bytes(number));
    let irq = match (kind, number) {
        (0, 0..988) => number + 32,
        (1, 0..16) => number + 16,
        _ => return None,
    };
    let trigger = if u32::from_be_bytes(flags) & 3 != 0 { Trigger::Edge } else { Trigger::Level };
    Some(TimerIrq { irq: Irq(irq), trigger })
}
