//! Pages of other domains.

use alloc::{boxed::Box, vec::Vec};

use super::*;
use crate::grants::copy::TRIES;
use crate::shared_page::Window;

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
    // The last try counts.
    xen.statuses.borrow_mut().extend([-12; TRIES]);
    assert_eq!(foreign.copy(&mut copies(1)), Ok(()));
    xen.statuses.borrow_mut().extend([-12; TRIES + 1]);
    let error = ForeignError::Refused(GrantStatus::Again);
    assert_eq!(foreign.copy(&mut copies(1)), Err((0, error)));
    let mut beyond = copies(1);
    beyond[0].offset = 4089;
    assert_eq!(foreign.copy(&mut beyond), Err((0, ForeignError::NotWithinPage)));
    beyond[0].offset = usize::MAX;
    assert_eq!(foreign.copy(&mut beyond), Err((0, ForeignError::NotWithinPage)));
}
