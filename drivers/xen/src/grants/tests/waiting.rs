//! Waiting for entries, and counting on them.

use alloc::{boxed::Box, sync::Arc, task::Wake, vec::Vec};
use core::{
    future::Future,
    pin::pin,
    sync::atomic::AtomicUsize,
    task::{Context, Poll, Waker},
};

use super::*;

#[derive(Default)]
struct Woken(AtomicUsize);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
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
    // Until it is gone; what it has granted goes to all later.
    drop(reservation);
    assert_eq!(table.free(), 2);
    drop(grants);
    assert_eq!((table.free(), pages.get()), (500, 4));
}

#[test]
fn entries_that_are_free_again_count_before_several_are_refused() {
    let (_, table) = table(1);
    let pages = count();
    let reservation = table.reserve(4).unwrap();
    let grant = |_| reservation.grant(DOM0, Page::new(pages), Access::ReadOnly).unwrap();
    let grants: Vec<_> = (0..4).map(grant).collect();
    let references: Vec<_> = grants.iter().map(|grant| grant.reference()).collect();
    references.iter().for_each(|&reference| set_flags(table, reference, READING));
    drop(grants);
    let make_left = |count| table.make_left(reservation.quota(), count);
    assert_eq!(make_left(3), Err(GrantError::ReservationUsedUp));
    references.iter().skip(1).for_each(|&reference| clear_flags(table, reference, READING));
    assert_eq!(
        (reservation.left(), make_left(3), make_left(4)),
        (0, Ok(()), Err(GrantError::ReservationUsedUp))
    );
}
