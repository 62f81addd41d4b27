//! The grant table against a fake of Xen.

mod foreign;
mod in_use;
mod random;
mod resumed;
mod table;
mod waiting;

use core::{cell::Cell, sync::atomic::Ordering};

use super::{
    fake::{Page, count, table, xen},
    *,
};

const DOM0: DomainId = DomainId(0);
const READING: u32 = 8;
const WRITING: u32 = 16;
/// Entries of one frame that are for the guest.
const FIRST_FRAME: usize = 504;

fn grant(table: &'static GrantTable, pages: &'static Cell<usize>) -> Grant<Page<'static>> {
    table.grant(DOM0, Page::new(pages), Access::ReadWrite).unwrap()
}

/// The other side begins or ends to use a page.
fn set_flags(table: &GrantTable, reference: GrantRef, flags: u32) {
    table.entry(reference).unwrap().header.fetch_or(flags, Ordering::Relaxed);
}

fn clear_flags(table: &GrantTable, reference: GrantRef, flags: u32) {
    table.entry(reference).unwrap().header.fetch_and(!flags, Ordering::Relaxed);
}
