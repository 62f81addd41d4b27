//! Takes the window away through which page tables are written, by writing page tables.

use super::{
    descriptor::ENTRIES,
    tables::{LEVEL_2_SPAN, TableMemory, last_table},
};
use crate::{PAGE_SIZE, PhysAddr};

/// Most last-level tables that a window may need: it is smaller than 2 MiB, so at most two.
const MAX_TABLES: usize = 2;

/// Unmaps the pages of the window from `virt` on, which show the frames `frames` in this order.
///
/// Every store goes through the window itself, so the order matters: first the pages that no later
/// store needs, then last-level tables that another one maps, at last those that map themselves.
/// A last-level table that maps another one comes later in memory or has nothing left to unmap,
/// because tables and addresses ascend together. The caller invalidates the TLB.
pub fn unmap_window(
    memory: &mut impl TableMemory,
    root: PhysAddr,
    virt: u64,
    frames: impl Iterator<Item = PhysAddr> + Clone,
) {
    let first = virt / LEVEL_2_SPAN;
    let tables: [Option<PhysAddr>; MAX_TABLES] =
        core::array::from_fn(|n| last_table(memory, root, (first + n as u64) * LEVEL_2_SPAN));
    for pass in [Pass::Others, Pass::Tables, Pass::Selves] {
        for (page, frame) in (virt..).step_by(PAGE_SIZE).zip(frames.clone()) {
            let Some(&Some(table)) = tables.get((page / LEVEL_2_SPAN - first) as usize) else {
                continue;
            };
            let turn = if frame == table {
                Pass::Selves
            } else if tables.contains(&Some(frame)) {
                Pass::Tables
            } else {
                Pass::Others
            };
            if turn == pass {
                memory.write(table, page as usize / PAGE_SIZE % ENTRIES, 0);
            }
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Pass {
    Others,
    Tables,
    Selves,
}
