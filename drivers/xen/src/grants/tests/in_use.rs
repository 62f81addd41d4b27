//! Pages that the other side uses when their grant ends.

use alloc::{rc::Rc, vec::Vec};
use core::{
    cell::RefCell,
    future::Future,
    pin::pin,
    task::{Context, Waker},
    time::Duration,
};

use super::*;

#[test]
fn pages_in_use_are_kept() {
    for flag in [READING, WRITING, READING | WRITING] {
        let (_, table) = table(1);
        let pages = count();
        let granted = grant(table, pages);
        let reference = granted.reference();
        set_flags(table, reference, flag);
        assert!(granted.is_in_use());
        drop(granted);
        assert_eq!((table.deferred(), pages.get(), table.free()), (1, 1, FIRST_FRAME - 1));
        // Others are not given the entry meanwhile.
        let others: Vec<_> = (0..FIRST_FRAME - 1).map(|_| grant(table, pages)).collect();
        assert!(others.iter().all(|other| other.reference() != reference));
        assert_eq!(table.poll_deferred(), 1);
        clear_flags(table, reference, flag);
        // A release of another looks at it.
        drop(others);
        assert_eq!((table.deferred(), pages.get(), table.free()), (0, 0, FIRST_FRAME));
    }
}

#[test]
fn exhaustion_looks_at_deferred_entries_first() {
    let (_, table) = table(1);
    let pages = count();
    let mut grants: Vec<_> = (0..FIRST_FRAME).map(|_| grant(table, pages)).collect();
    let last = grants.pop().unwrap();
    let reference = last.reference();
    set_flags(table, reference, WRITING);
    drop(last);
    let (error, page) = table.grant(DOM0, Page::new(pages), Access::ReadOnly).unwrap_err();
    assert_eq!(error, GrantError::Full);
    clear_flags(table, reference, WRITING);
    let granted = table.grant(DOM0, page, Access::ReadOnly).unwrap();
    assert_eq!(granted.reference(), reference);
}

#[test]
fn a_grant_gives_its_page_back_only_when_access_has_ended() {
    let (_, table) = table(1);
    let pages = count();
    let granted = grant(table, pages);
    set_flags(table, granted.reference(), READING);
    let granted = granted.end().unwrap_err();
    clear_flags(table, granted.reference(), READING);
    let page = granted.end().unwrap();
    assert_eq!((table.free(), table.deferred(), pages.get()), (FIRST_FRAME, 0, 1));
    drop(page);
}

#[test]
fn flags_that_nobody_should_have_set_do_no_harm() {
    let (_, table) = table(1);
    let pages = count();
    for flags in 0..=0xffff_u32 {
        let granted = grant(table, pages);
        let reference = granted.reference();
        set_flags(table, reference, flags);
        drop(granted);
        let is_in_use = flags & (READING | WRITING) != 0;
        assert_eq!(table.deferred(), usize::from(is_in_use));
        clear_flags(table, reference, READING | WRITING);
        assert_eq!(table.poll_deferred(), 0);
        assert!(table.entry(reference).unwrap().is_empty());
    }
    assert_eq!((table.free(), pages.get()), (FIRST_FRAME, 0));
}

#[test]
fn pages_may_be_shared() {
    let (_, table) = table(1);
    let pages = count();
    let page = Rc::new(Page::new(pages));
    let granted = table.grant(DOM0, Rc::clone(&page), Access::ReadWrite).unwrap();
    set_flags(table, granted.reference(), WRITING);
    drop(granted);
    drop(page);
    assert_eq!(pages.get(), 1);
    clear_flags(table, GrantRef(8), WRITING);
    table.poll_deferred();
    assert_eq!(pages.get(), 0);
}

#[test]
fn deferred_entries_are_looked_at_less_and_less_often() {
    let (_, table) = table(1);
    let pages = count();
    let pauses = RefCell::new(Vec::new());
    let sleep = async |pause: Duration| {
        pauses.borrow_mut().push(pause.as_millis());
        if pauses.borrow().len() == 10 {
            clear_flags(table, GrantRef(8), WRITING);
        }
    };
    let mut tends = pin!(table.tend_deferred(sleep));
    let cx = &mut Context::from_waker(Waker::noop());
    assert!(tends.as_mut().poll(cx).is_pending());
    let granted = grant(table, pages);
    set_flags(table, granted.reference(), WRITING);
    drop(granted);
    assert_eq!(table.deferred(), 1);
    assert!(tends.as_mut().poll(cx).is_pending());
    assert_eq!((table.deferred(), pages.get()), (0, 0));
    assert_eq!(*pauses.borrow(), [10, 20, 40, 80, 160, 320, 640, 1000, 1000, 1000]);
}
