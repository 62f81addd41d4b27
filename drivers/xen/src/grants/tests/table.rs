//! Free entries, and more of them.

use alloc::vec::Vec;

use super::*;
use crate::XenError;

#[test]
fn nothing_is_asked_of_xen_before_the_first_grant() {
    let (xen, table) = table(4);
    assert_eq!((xen.placed.get(), table.frames(), table.free()), (0, 0, 0));
    let pages = count();
    let first = grant(table, pages);
    assert_eq!(first.reference(), GrantRef(8));
    assert_eq!((xen.placed.get(), table.free()), (1, FIRST_FRAME - 1));
    let entry = table.entry(GrantRef(8)).unwrap();
    assert_eq!(entry.frame.load(Ordering::Relaxed), first.page().frame().unwrap() as u32);
}

#[test]
fn ten_thousand_grants_leave_as_many_free_entries() {
    let (_, table) = table(4);
    let pages = count();
    drop(grant(table, pages));
    for round in 0..100 {
        let grants: Vec<_> = (0..100).map(|_| grant(table, pages)).collect();
        assert_eq!(table.free(), FIRST_FRAME - 100);
        // In turn, because each order must do.
        if round % 2 == 0 { drop(grants) } else { grants.into_iter().rev().for_each(drop) }
    }
    assert_eq!((table.free(), table.frames(), pages.get()), (FIRST_FRAME, 1, 0));
}

#[test]
fn entries_that_somebody_else_has_filled_in_are_left_alone() {
    let (_, table) = table(1);
    let pages = count();
    let first = grant(table, pages);
    set_flags(table, GrantRef(9), 1);
    assert_eq!(grant(table, pages).reference(), GrantRef(10));
    for reserved in 0..8 {
        assert!(table.entry(GrantRef(reserved)).unwrap().is_empty());
    }
    drop(first);
}

#[test]
fn the_table_grows_as_far_as_xen_lets_it() {
    let (xen, table) = table(3);
    let pages = count();
    let grants: Vec<_> = (0..3 * 512 - 8).map(|_| grant(table, pages)).collect();
    assert_eq!((xen.placed.get(), table.frames(), table.free()), (3, 3, 0));
    assert!(grants.iter().zip(8..).all(|(grant, number)| grant.reference() == GrantRef(number)));
    let (error, _) = table.grant(DOM0, Page::new(pages), Access::ReadOnly).unwrap_err();
    assert_eq!(error, GrantError::Full);
    drop(grants);
    assert_eq!((table.free(), pages.get()), (3 * 512 - 8, 0));
}

#[test]
fn a_frame_that_xen_refuses_is_an_error_until_it_does_not() {
    let (xen, table) = table(2);
    let pages = count();
    xen.refuses_frames.set(true);
    let (error, page) = table.grant(DOM0, Page::new(pages), Access::ReadOnly).unwrap_err();
    assert_eq!(error, GrantError::Xen(XenError(12)));
    xen.refuses_frames.set(false);
    table.grant(DOM0, page, Access::ReadOnly).unwrap();
    // Xen may give more than there is place for.
    xen.max_frames.set(1000);
    let _all: Vec<_> = (0..2 * 512 - 8).map(|_| grant(table, pages)).collect();
    let (error, _) = table.grant(DOM0, Page::new(pages), Access::ReadOnly).unwrap_err();
    assert_eq!(error, GrantError::Full);
}
