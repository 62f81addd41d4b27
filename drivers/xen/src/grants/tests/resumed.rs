//! A guest that goes on in another domain.

use alloc::{boxed::Box, vec::Vec};

use super::*;
use crate::{incarnation::Incarnation, shared_page::Window};

#[test]
fn old_grants_permit_nothing_and_keep_their_entries_until_they_end() {
    let (_, table) = table(2);
    let pages = count();
    drop(grant(table, pages));
    let free = table.free();
    let old: Vec<_> = (0..20).map(|_| grant(table, pages)).collect();
    let reserved = table.reserve(10).unwrap();
    let kept = reserved.grant(DOM0, Page::new(pages), Access::ReadWrite).unwrap();
    // One is in use, and one was when it ended.
    set_flags(table, old[3].reference(), READING);
    let deferred = grant(table, pages);
    set_flags(table, deferred.reference(), WRITING);
    drop(deferred);
    assert_eq!((table.deferred(), pages.get()), (1, 22));
    Incarnation::begin();
    table.clear();
    table.resume();
    assert!(old.iter().all(|grant| !grant.is_in_use()));
    assert_eq!((table.poll_deferred(), pages.get()), (0, 21));
    let new: Vec<_> = (0..20).map(|_| grant(table, pages)).collect();
    for grant in &new {
        assert!(old.iter().all(|old| old.reference() != grant.reference()));
        assert_ne!(grant.reference(), kept.reference());
    }
    drop((old, kept));
    // Those of the new ones are as they were made.
    let entries = new.iter().map(|grant| table.entry(grant.reference()).unwrap());
    assert!(entries.into_iter().all(|entry| entry.header.load(Ordering::Relaxed) == 1));
    drop((new, reserved));
    assert_eq!((table.free(), pages.get()), (free, 0));
}

#[test]
fn what_was_mapped_is_zeros_until_it_is_let_go_of() {
    let xen = xen(0);
    let window = Window::with_memory(3);
    let foreign: &ForeignPages = Box::leak(Box::new(ForeignPages::new(window, xen)));
    let map = |number| foreign.map(DOM0, GrantRef(number), Access::ReadWrite).unwrap();
    let (first, second) = (map(1), map(2));
    second.words()[7].store(9, Ordering::Relaxed);
    Incarnation::begin();
    foreign.resume();
    assert!(second.words().iter().all(|word| word.load(Ordering::Relaxed) == 0));
    assert_eq!((xen.filled.borrow().len(), foreign.free()), (2, 1));
    let third = map(3);
    drop((second, third));
    assert_eq!((xen.filled.borrow().len(), xen.mapped.borrow().len()), (1, 0));
    drop(first);
    assert_eq!((xen.filled.borrow().len(), foreign.free()), (0, 3));
}
