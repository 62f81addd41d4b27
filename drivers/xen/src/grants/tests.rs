//! The grant table against a fake of Xen.

use alloc::{boxed::Box, rc::Rc, sync::Arc, task::Wake, vec::Vec};
use core::{
    cell::Cell,
    future::Future,
    pin::pin,
    sync::atomic::{AtomicUsize, Ordering},
    task::{Context, Poll, Waker},
};

use proptest::prelude::*;

use super::{
    copy::Buffer,
    fake::{Page, count, table, xen},
    *,
};
use crate::{XenError, shared_page::Window};

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

#[derive(Default)]
struct Woken(AtomicUsize);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

#[test]
fn nothing_is_asked_of_xen_before_the_first_grant() {
    let (xen, table) = table(4);
    assert_eq!((xen.placed.get(), table.frames(), table.free()), (0, 0, 0));
    let pages = count();
    let first = grant(table, pages);
    assert_eq!(first.reference(), GrantRef(8));
    assert_eq!((xen.placed.get(), table.free()), (1, FIRST_FRAME - 1));
    let entry = table.entry(GrantRef(8)).unwrap();
    assert_eq!(Some(u64::from(entry.frame.load(Ordering::Relaxed))), first.page().frame());
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

#[test]
fn who_waits_is_woken_when_an_entry_is_free() {
    let (_, table) = table(1);
    let pages = count();
    let mut grants: Vec<_> = (0..FIRST_FRAME).map(|_| grant(table, pages)).collect();
    let woken = Arc::new(Woken::default());
    let waker = Waker::from(Arc::clone(&woken));
    let cx = &mut Context::from_waker(&waker);
    let mut one = pin!(table.wait_for_free(1));
    let mut two = pin!(table.wait_for_free(2));
    assert_eq!(one.as_mut().poll(cx), Poll::Pending);
    assert_eq!(one.as_mut().poll(cx), Poll::Pending);
    assert_eq!(two.as_mut().poll(cx), Poll::Pending);
    {
        let mut cancelled = Box::pin(table.wait_for_free(1));
        assert_eq!(cancelled.as_mut().poll(cx), Poll::Pending);
        assert_eq!(table.waiting().count(), 3);
    }
    assert_eq!(table.waiting().count(), 2);
    grants.pop();
    assert_eq!(woken.0.load(Ordering::Relaxed), 2);
    assert_eq!(one.as_mut().poll(cx), Poll::Ready(Ok(())));
    assert_eq!(two.as_mut().poll(cx), Poll::Pending);
    // One that is in use counts when it is looked at.
    let last = grants.pop().unwrap();
    let reference = last.reference();
    set_flags(table, reference, READING);
    drop(last);
    assert_eq!(two.as_mut().poll(cx), Poll::Pending);
    clear_flags(table, reference, READING);
    table.poll_deferred();
    assert_eq!(woken.0.load(Ordering::Relaxed), 3);
    assert_eq!(two.as_mut().poll(cx), Poll::Ready(Ok(())));
    let mut never = pin!(table.wait_for_free(FIRST_FRAME + 1));
    assert_eq!(never.as_mut().poll(cx), Poll::Ready(Err(GrantError::Full)));
}

#[test]
fn what_is_reserved_is_for_the_device() {
    let (_, table) = table(1);
    let pages = count();
    let reservation = table.reserve(500).unwrap();
    assert_eq!((table.free(), reservation.left()), (4, 500));
    assert_eq!(table.reserve(5).err(), Some(GrantError::Full));
    let _others: Vec<_> = (0..4).map(|_| grant(table, pages)).collect();
    let (error, page) = table.grant(DOM0, Page::new(pages), Access::ReadOnly).unwrap_err();
    assert_eq!(error, GrantError::Full);
    let first = reservation.grant(DOM0, page, Access::ReadOnly).unwrap();
    let mut grants: Vec<_> = (0..499)
        .map(|_| reservation.grant(DOM0, Page::new(pages), Access::ReadOnly).unwrap())
        .collect();
    let (error, _) = reservation.grant(DOM0, Page::new(pages), Access::ReadOnly).unwrap_err();
    assert_eq!(error, GrantError::ReservationUsedUp);
    // What comes back, comes back to the device.
    let woken = Arc::new(Woken::default());
    let waker = Waker::from(Arc::clone(&woken));
    let cx = &mut Context::from_waker(&waker);
    {
        let mut free = pin!(reservation.wait_for_free());
        assert_eq!(free.as_mut().poll(cx), Poll::Pending);
        set_flags(table, first.reference(), READING);
        let reference = first.reference();
        drop(first);
        assert_eq!(free.as_mut().poll(cx), Poll::Pending);
        clear_flags(table, reference, READING);
        grants.pop();
        assert_eq!(free.as_mut().poll(cx), Poll::Ready(Ok(())));
    }
    assert_eq!((table.free(), reservation.left()), (0, 2));
    // Until it is gone, and all that it has granted.
    drop(reservation);
    assert_eq!(table.free(), 0);
    drop(grants);
    assert_eq!((table.free(), pages.get()), (500, 4));
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
fn foreign_pages_come_and_go() {
    let xen = xen(0);
    let foreign: &ForeignPages =
        Box::leak(Box::new(ForeignPages::new(Window::with_memory(2), xen)));
    let map = |number| foreign.map(DOM0, GrantRef(number), Access::ReadWrite);
    let (first, second) = (map(1).unwrap(), map(2).unwrap());
    assert_ne!(first.words().as_ptr(), second.words().as_ptr());
    assert_eq!(map(3).unwrap_err(), ForeignError::NoPlace);
    drop(first);
    assert_eq!((foreign.free(), xen.mapped.borrow().len()), (1, 1));
    xen.statuses.borrow_mut().push_back(-8);
    let error = ForeignError::Refused(GrantStatus::PermissionDenied);
    assert_eq!(map(3).unwrap_err(), error);
    assert_eq!(foreign.free(), 1);
    // A place where Xen leaves something is not used again.
    xen.statuses.borrow_mut().push_back(-4);
    drop(second);
    assert_eq!(foreign.free(), 1);
}

#[test]
fn copies_are_done_in_batches_and_again_if_that_helps() {
    let xen = xen(0);
    let foreign: &ForeignPages =
        Box::leak(Box::new(ForeignPages::new(Window::with_memory(1), xen)));
    let data = [1; 8];
    let copies = |count: usize| -> Vec<_> {
        let copy = |_| Copy {
            domain: DOM0,
            page: GrantRef(9),
            offset: 4088,
            buffer: Buffer::Write(&data),
        };
        (0..count).map(copy).collect()
    };
    // Not across the end of a page, wherever the host has put the data.
    let is_within = data.as_ptr() as usize % 4096 <= 4088;
    assert!(is_within, "an array of eight bytes at the end of a page of the stack");
    assert_eq!(foreign.copy(&mut copies(20)), Ok(()));
    assert_eq!(*xen.copies.borrow(), [16, 4]);
    xen.statuses.borrow_mut().extend([0, -12, -12, 0]);
    assert_eq!(foreign.copy(&mut copies(2)), Ok(()));
    xen.statuses.borrow_mut().extend([0, -3]);
    let error = ForeignError::Refused(GrantStatus::BadReference);
    assert_eq!(foreign.copy(&mut copies(3)), Err((1, error)));
    xen.statuses.borrow_mut().extend([-12; 100]);
    let error = ForeignError::Refused(GrantStatus::Again);
    assert_eq!(foreign.copy(&mut copies(1)), Err((0, error)));
    let mut beyond = copies(1);
    beyond[0].offset = 4089;
    assert_eq!(foreign.copy(&mut beyond), Err((0, ForeignError::NotWithinPage)));
    beyond[0].offset = usize::MAX;
    assert_eq!(foreign.copy(&mut beyond), Err((0, ForeignError::NotWithinPage)));
}

#[derive(Clone, Debug)]
enum Step {
    Grant,
    GrantReserved,
    Use(usize),
    EndUse(usize),
    Drop(usize),
    Poll,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => Just(Step::Grant),
        2 => Just(Step::GrantReserved),
        2 => any::<usize>().prop_map(Step::Use),
        2 => any::<usize>().prop_map(Step::EndUse),
        3 => any::<usize>().prop_map(Step::Drop),
        1 => Just(Step::Poll),
    ];
    proptest::collection::vec(step, 0..300)
}

proptest! {
    /// Whatever happens in whatever order, entries are given to one at a time, pages live exactly as
    /// long as their grant or their use, and all comes back in the end.
    #[test]
    fn nothing_is_lost_and_nothing_is_given_twice(steps in steps()) {
        let (_, table) = table(1);
        let pages = count();
        let reservation = table.reserve(20).unwrap();
        // So that exhaustion is met.
        let others: Vec<_> = (0..FIRST_FRAME - 20 - 30).map(|_| grant(table, pages)).collect();
        let mut grants: Vec<Grant<Page<'static>>> = Vec::new();
        let mut in_use: Vec<GrantRef> = Vec::new();
        for step in steps {
            match step {
                Step::Grant | Step::GrantReserved => {
                    let page = Page::new(pages);
                    let result = match step {
                        Step::Grant => table.grant(DOM0, page, Access::ReadWrite),
                        _ => reservation.grant(DOM0, page, Access::ReadOnly),
                    };
                    match result {
                        Ok(grant) => {
                            let reference = grant.reference();
                            prop_assert!(grants.iter().all(|other| other.reference() != reference));
                            prop_assert!(!in_use.contains(&reference));
                            grants.push(grant);
                        }
                        Err((GrantError::Full, _)) => prop_assert_eq!(table.free(), 0),
                        Err((GrantError::ReservationUsedUp, _)) => {
                            prop_assert_eq!(reservation.left(), 0);
                        }
                        Err((error, _)) => panic!("{error}"),
                    }
                }
                Step::Use(index) if !grants.is_empty() => {
                    let reference = grants[index % grants.len()].reference();
                    if !in_use.contains(&reference) {
                        set_flags(table, reference, READING);
                        in_use.push(reference);
                    }
                }
                Step::EndUse(index) if !in_use.is_empty() => {
                    let reference = in_use.swap_remove(index % in_use.len());
                    clear_flags(table, reference, READING);
                }
                Step::Drop(index) if !grants.is_empty() => {
                    drop(grants.swap_remove(index % grants.len()));
                }
                Step::Poll => {
                    let left = table.poll_deferred();
                    prop_assert!(left <= in_use.len());
                }
                _ => {}
            }
            prop_assert_eq!(pages.get(), others.len() + grants.len() + table.deferred());
        }
        drop(grants);
        prop_assert_eq!(table.poll_deferred(), in_use.len());
        in_use.iter().for_each(|reference| clear_flags(table, *reference, READING));
        prop_assert_eq!(table.poll_deferred(), 0);
        drop((reservation, others));
        prop_assert_eq!((table.free(), pages.get()), (FIRST_FRAME, 0));
    }
}
