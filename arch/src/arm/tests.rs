//! Page tables in a fake memory, walked as the processor walks them.

use std::{collections::BTreeMap, vec::Vec};

use super::{
    descriptor::{self, ADDRESS, ENTRIES, Permissions},
    seal::unmap_window,
    tables::{self, LEVEL_1_SPAN, LEVEL_2_SPAN, MappingError, TableMemory},
};
use crate::{PAGE_SIZE, PhysAddr, PhysRange};

const ROOT: PhysAddr = PhysAddr(0x8000_0000);
const PAGE: u64 = PAGE_SIZE as u64;
const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;

/// Tables from `ROOT` on. With `window` set, a table can only be reached while it is mapped there.
struct Memory {
    tables: BTreeMap<u64, Vec<u64>>,
    left: usize,
    window: Option<u64>,
}

impl Memory {
    fn new(left: usize) -> Self {
        let mut memory = Self { tables: BTreeMap::new(), left: left + 1, window: None };
        assert_eq!(memory.allocate(), Some(ROOT));
        memory
    }

    /// Where the processor finds `virt`, and the descriptor that says so.
    fn walk(&self, virt: u64) -> Option<(u64, u64)> {
        let mut table = ROOT.0;
        for span in [LEVEL_1_SPAN, LEVEL_2_SPAN, PAGE] {
            let entry = self.tables[&table][(virt / span) as usize % ENTRIES];
            if !descriptor::is_valid(entry) {
                return None;
            }
            if span == PAGE || !descriptor::is_table(entry) {
                return Some(((entry & ADDRESS) + virt % span, entry & !ADDRESS));
            }
            table = entry & ADDRESS;
        }
        None
    }

    fn check_reachable(&self, table: PhysAddr) {
        if let Some(window) = self.window {
            let shown = self.walk(window + (table.0 - ROOT.0)).map(|(address, _)| address);
            assert_eq!(shown, Some(table.0), "table used after it was unmapped");
        }
    }
}

impl TableMemory for Memory {
    fn read(&self, table: PhysAddr, index: usize) -> u64 {
        self.check_reachable(table);
        self.tables[&table.0][index]
    }

    fn write(&mut self, table: PhysAddr, index: usize, descriptor: u64) {
        self.check_reachable(table);
        self.tables.get_mut(&table.0).expect("a table")[index] = descriptor;
    }

    fn write_run(
        &mut self,
        table: PhysAddr,
        first: usize,
        count: usize,
        descriptor: u64,
        step: u64,
    ) -> usize {
        for n in 0..count {
            if descriptor::is_valid(self.read(table, first + n)) {
                return n;
            }
            self.write(table, first + n, descriptor + n as u64 * step);
        }
        count
    }

    fn clear(&mut self, table: PhysAddr, first: usize, count: usize) {
        (first..first + count).for_each(|index| self.write(table, index, 0));
    }

    fn allocate(&mut self) -> Option<PhysAddr> {
        self.left = self.left.checked_sub(1)?;
        let table = ROOT.0 + self.tables.len() as u64 * PAGE;
        self.tables.insert(table, vec![0; ENTRIES]);
        Some(PhysAddr(table))
    }
}

fn range(start: u64, end: u64) -> PhysRange {
    PhysRange::between(PhysAddr(start), PhysAddr(end))
}

#[test]
fn mappings_are_exact_and_use_blocks() {
    let mut memory = Memory::new(8);
    let ram = range(GIB - 3 * PAGE, 3 * GIB + 2 * MIB + PAGE);
    tables::map(&mut memory, ROOT, 64 * GIB + ram.start().0, ram, Permissions::ReadWrite).unwrap();
    for offset in [0, PAGE, 3 * PAGE, GIB, 2 * GIB + 5, ram.size() - 1] {
        let found = memory.walk(64 * GIB + ram.start().0 + offset).unwrap();
        assert_eq!(found.0, ram.start().0 + offset);
    }
    assert_eq!(memory.walk(64 * GIB + ram.start().0 - 1), None);
    assert_eq!(memory.walk(64 * GIB + ram.end().0), None);
    // Level 2 and 3 at each ragged end; the gigabytes between are blocks.
    assert_eq!(memory.tables.len(), 1 + 4);
    assert_eq!(tables::tables_needed([ram].into_iter()), 4);
}

#[test]
fn neighbours_share_tables_and_keep_their_permissions() {
    let mut memory = Memory::new(2);
    let parts = [
        (range(GIB, GIB + 7 * PAGE), Permissions::ReadWrite),
        (range(GIB + 7 * PAGE, GIB + 9 * PAGE), Permissions::ReadOnly),
        (range(GIB + 10 * PAGE, GIB + 20 * PAGE), Permissions::ReadWrite),
    ];
    for (part, permissions) in parts {
        tables::map(&mut memory, ROOT, part.start().0, part, permissions).unwrap();
        let (_, bits) = memory.walk(part.start().0).unwrap();
        assert_eq!(bits, permissions.page());
    }
    assert_eq!(tables::tables_needed(parts.iter().map(|part| part.0)), 2);
}

#[test]
fn the_number_of_tables_is_foretold() {
    let layouts: [&[PhysRange]; 4] = [
        &[range(GIB, 9 * GIB)],
        &[range(GIB, GIB + 512 * 1024), range(GIB + MIB, 2 * GIB)],
        &[range(GIB + PAGE, GIB + 2 * PAGE), range(5 * GIB - PAGE, 7 * GIB + 6 * MIB)],
        &[range(2 * MIB, 4 * MIB), range(4 * MIB, GIB), range(GIB, GIB + PAGE)],
    ];
    for layout in layouts {
        let mut memory = Memory::new(64);
        for part in layout {
            tables::map(&mut memory, ROOT, part.start().0, *part, Permissions::ReadWrite).unwrap();
        }
        let needed = tables::tables_needed(layout.iter().copied());
        assert_eq!(memory.tables.len() - 1, needed, "{layout:?}");
    }
}

#[test]
fn what_is_mapped_stays() {
    let mut memory = Memory::new(4);
    let page = range(GIB, GIB + PAGE);
    let mut map = |virt, part| tables::map(&mut memory, ROOT, virt, part, Permissions::ReadWrite);
    assert_eq!(map(0, page), Ok(()));
    assert_eq!(map(0, page), Err(MappingError::BadRange));
    assert_eq!(map(GIB, range(GIB, 2 * GIB)), Ok(()));
    assert_eq!(map(GIB + MIB, page), Err(MappingError::BadRange));
    assert_eq!(map(PAGE + 1, page), Err(MappingError::BadRange));
    assert_eq!(map(u64::MAX - PAGE + 1, range(0, 2 * PAGE)), Err(MappingError::BadRange));
}

#[test]
fn pages_can_be_unmapped_and_mapped_again() {
    let mut memory = Memory::new(3);
    let part = range(GIB + 2 * MIB - 4 * PAGE, GIB + 2 * MIB + 4 * PAGE);
    let tail = range(part.start().0 + 2 * PAGE, part.end().0);
    tables::map(&mut memory, ROOT, part.start().0, part, Permissions::ReadOnly).unwrap();
    tables::unmap(&mut memory, ROOT, tail.start().0, tail.end().0).unwrap();
    assert_eq!(memory.walk(tail.start().0), None);
    assert_eq!(memory.walk(tail.end().0 - 1), None);
    assert!(memory.walk(tail.start().0 - 1).is_some());
    tables::map(&mut memory, ROOT, tail.start().0, tail, Permissions::ReadWrite).unwrap();
    let result = tables::unmap(&mut memory, ROOT, 3 * GIB, 3 * GIB + PAGE);
    assert_eq!(result, Err(MappingError::BadRange));
}

#[test]
fn without_tables_there_is_an_error() {
    let mut memory = Memory::new(1);
    let page = range(0, PAGE);
    let result = tables::map(&mut memory, ROOT, 0, page, Permissions::ReadWrite);
    assert_eq!(result, Err(MappingError::OutOfTables));
}

/// The window is unmapped through itself, wherever a 2 MiB boundary cuts it.
#[test]
fn sealing_never_uses_a_table_that_is_gone() {
    const TABLES: u64 = 12;
    for first_page in ENTRIES as u64 - TABLES..=ENTRIES as u64 {
        let window = 2 * GIB + first_page * PAGE;
        let mut memory = Memory::new(TABLES as usize - 1);
        let frames = range(ROOT.0, ROOT.0 + TABLES * PAGE);
        tables::map(&mut memory, ROOT, window, frames, Permissions::ReadWrite).unwrap();
        while memory.allocate().is_some() {}
        memory.window = Some(window);
        let pages = (0..TABLES).map(|page| PhysAddr(ROOT.0 + page * PAGE));
        unmap_window(&mut memory, ROOT, window, pages.clone());
        for page in 0..TABLES {
            assert_eq!(memory.walk(window + page * PAGE), None, "page {page} of {first_page}");
        }
    }
}
