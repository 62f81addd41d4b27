//! Tables that are made up.

use std::collections::HashMap;

use super::format::{Arm, X86};
use super::judge::{Layout, judge};
use super::walk::{ENTRIES, Format, Mapped, Mapping, Rights, walk};

const READ: Rights = Rights { write: false, execute: false };
const WRITE: Rights = Rights { write: true, execute: false };
const EXECUTE: Rights = Rights { write: false, execute: true };
const ALL: Rights = Rights { write: true, execute: true };

/// Entries of tables: their table, their number, what they are.
fn walked(format: &dyn Format, entries: &[(u64, usize, u64)]) -> Vec<Mapping> {
    all(format, entries).mappings
}

fn all(format: &dyn Format, entries: &[(u64, usize, u64)]) -> Mapped {
    let mut tables: HashMap<u64, [u64; ENTRIES]> = HashMap::new();
    for &(table, number, entry) in entries {
        tables.entry(table).or_insert([0; ENTRIES])[number] = entry;
    }
    let mut read =
        |table| tables.get(&table).copied().ok_or(anyhow::anyhow!("no table {table:#x}"));
    walk(format, 0x1000, &mut read).unwrap()
}

fn mapping(address: u64, physical: u64, size: u64, rights: Rights) -> Mapping {
    Mapping { address, physical, size, rights }
}

#[test]
fn x86_has_pages_of_three_sizes_in_both_halves() {
    let entries = [
        (0x1000, 0, 0x2003),
        (0x1000, 511, 0x2003),
        (0x2000, 1, 0x4000_0083),
        (0x2000, 2, 0x3003),
        (0x3000, 3, 0x8000_0000_0060_0081),
        (0x3000, 4, 0x4003),
        (0x4000, 5, 0x8000_0000_0000_7003),
    ];
    let low = [
        mapping(0x4000_0000, 0x4000_0000, 1 << 30, ALL),
        mapping(0x8060_0000, 0x60_0000, 1 << 21, READ),
        mapping(0x8080_5000, 0x7000, 1 << 12, WRITE),
    ];
    let high = low.map(|one| Mapping { address: one.address | 0xffff_ff80_0000_0000, ..one });
    assert_eq!(walked(&X86, &entries), [low, high].concat());
}

#[test]
fn a_table_of_x86_takes_rights_away_from_all_below() {
    const NO_EXECUTE: u64 = 1 << 63;
    let of = |first: u64, last: u64| {
        let entries =
            [(0x1000, 0, first), (0x2000, 0, 0x3003), (0x3000, 0, 0x4003), (0x4000, 0, last)];
        walked(&X86, &entries).first().map(|mapping| mapping.rights)
    };
    assert_eq!(of(0x2003, 0x9003), Some(ALL));
    assert_eq!(of(0x2001, 0x9003), Some(EXECUTE));
    assert_eq!(of(0x2003 | NO_EXECUTE, 0x9003), Some(WRITE));
    assert_eq!(of(0x2003, 0x9001 | NO_EXECUTE), Some(READ));
    assert_eq!(of(0x2002, 0x9003), None);
}

#[test]
fn a_slot_that_leads_to_its_own_table_shows_all_tables() {
    let entries = [
        (0x1000, 511, 0x2003),
        (0x1000, 510, 0x8000_0000_0000_1003),
        (0x2000, 0, 0x3003),
        (0x3000, 0, 0x4003),
        (0x4000, 0, 0x9001),
    ];
    let mapped = all(&X86, &entries);
    let shown =
        |table| mapped.mappings.iter().any(|one| one.physical == table && one.rights == WRITE);
    for table in [0x1000, 0x2000, 0x3000, 0x4000] {
        assert!(mapped.tables.contains(&table) && shown(table), "{table:#x}");
    }
}

#[test]
fn arm_has_blocks_and_pages() {
    let entries = [
        (0x1000, 1, 0x0060_0000_4000_0701),
        (0x1000, 2, 0x2003),
        (0x2000, 3, 0x0060_0000_0060_0781),
        (0x2000, 4, 0x3003),
        (0x3000, 5, 0x0040_0000_0000_7783),
        // Of no meaning at the last level.
        (0x3000, 6, 0x0040_0000_0000_7781),
    ];
    let expected = [
        mapping(0x4000_0000, 0x4000_0000, 1 << 30, WRITE),
        mapping(0x8060_0000, 0x60_0000, 1 << 21, READ),
        mapping(0x8080_5000, 0x7000, 1 << 12, EXECUTE),
    ];
    assert_eq!(walked(&Arm { bits: 39, is_64_bit: true }, &entries), expected);
}

#[test]
fn the_first_table_of_armv7_has_four_entries() {
    let entries = [(0x1000, 3, 0x701), (0x1000, 4, 0x701), (0x1000, 511, 0x701)];
    let expected = [mapping(0xc000_0000, 0, 1 << 30, ALL)];
    assert_eq!(walked(&Arm { bits: 32, is_64_bit: false }, &entries), expected);
}

#[test]
fn what_forbids_execution_differs_on_arm() {
    const NEVER: u64 = 1 << 54;
    const NEVER_PRIVILEGED: u64 = 1 << 53;
    let execute = |is_64_bit, block: u64, table: u64| {
        let entries = [(0x1000, 0, 0x2003 | table), (0x2000, 0, 0x701 | block)];
        walked(&Arm { bits: 32, is_64_bit }, &entries)[0].rights.execute
    };
    assert!(execute(true, NEVER, 0) && execute(true, NEVER_PRIVILEGED, 0));
    assert!(!execute(true, NEVER | NEVER_PRIVILEGED, 0));
    assert!(!execute(false, NEVER, 0) && execute(false, NEVER_PRIVILEGED, 0));
    assert!(!execute(true, 0, 3 << 59) && !execute(false, 0, 1 << 60));
    assert!(execute(true, 0, 1 << 59) && execute(false, 0, 1 << 59));
}

/// An image of one page for each of its parts, at 0x10000, which is loaded at 0x50000, and RAM behind.
fn good() -> (Mapped, Layout) {
    let rights = [Some(EXECUTE), Some(READ), Some(WRITE), None, Some(WRITE), None];
    let mut mappings: Vec<Mapping> = (0..)
        .zip(rights)
        .filter_map(|(page, rights): (u64, _)| {
            Some(mapping(0x10000 + page * 0x1000, 0x50000 + page * 0x1000, 0x1000, rights?))
        })
        .collect();
    mappings.push(mapping(0x20_0000, 0x20_0000, 1 << 21, WRITE));
    (
        Mapped { mappings, tables: [0x55000, 0x60000].into() },
        Layout::made_up(0x10000, 0x1000, &rights),
    )
}

/// Whether tables are found fault with after a change.
fn complaint(change: impl FnOnce(&mut Vec<Mapping>)) -> String {
    let (mut mapped, layout) = good();
    change(&mut mapped.mappings);
    mapped.mappings.sort_by_key(|mapping| mapping.address);
    judge(&mapped, &layout, 0x8000).map_err(|error| error.to_string()).err().unwrap_or_default()
}

#[test]
fn good_tables_pass() {
    assert_eq!(complaint(|_| ()), "");
}

#[test]
fn each_fault_is_found() {
    let extra = |one: Mapping| complaint(|mappings| mappings.push(one));
    let page = |address, physical, rights| mapping(address, physical, 0x1000, rights);
    assert!(extra(page(0x70000, 0x90000, ALL)).contains("writable and executable"));
    assert!(extra(page(0x70000, 0x90000, EXECUTE)).contains("no code"));
    assert!(extra(page(0x70000, 0x60000, READ)).contains("shows a page table"));
    let large = mapping(0x40_0000, 0, 1 << 21, WRITE);
    assert!(extra(large).contains("shows a page table"));
    assert!(extra(page(0, 0x90000, READ)).contains("NULL"));
    assert!(extra(page(0x7000, 0x90000, READ)).contains("NULL"));
    assert!(extra(page(0x70000, 0x51000, READ)).contains("second time"));
    assert!(extra(page(0x13000, 0x53000, READ)).contains("a page of"));
}

#[test]
fn each_part_of_the_image_is_looked_at() {
    for part in [0, 1, 2, 3] {
        let rights = |rights| complaint(|mappings| mappings[part].rights = rights);
        assert!(
            [READ, WRITE, EXECUTE].map(rights).iter().filter(|text| text.is_empty()).count() == 1
        );
        assert!(!complaint(|mappings| _ = mappings.remove(part)).is_empty());
        let elsewhere = complaint(|mappings| mappings[part].physical += 0x1_0000_0000);
        assert!(!elsewhere.is_empty());
    }
}
