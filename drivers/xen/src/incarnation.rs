//! Which domain the guest is in.
//!
//! A guest that is restored from a file, or has come from another machine, is in a new domain, with
//! the memory that it had in the old one and nothing else: no event channel, no grant and no
//! transaction of XenStore that the memory tells of is there any more, and another may have the same
//! number. So what belongs to a domain takes note of it, and is void in the next.

use alloc::{
    rc::{Rc, Weak},
    vec::Vec,
};
use core::{
    cell::{Cell, RefCell},
    future::poll_fn,
    pin::pin,
    task::Poll,
};

mayfly_arch::local! {
    static CURRENT: Cell<u32> = Cell::new(0);
}

mayfly_arch::local! {
    static FOLLOWERS: RefCell<Vec<Weak<dyn Follower>>> = RefCell::new(Vec::new());
}

/// The time that the guest is in one domain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Incarnation(u32);

/// Who is to know at once that the guest is in another domain.
pub(crate) trait Follower {
    /// It is.
    fn resumed(&self);
}

impl Incarnation {
    /// The one that goes on.
    pub(crate) fn current() -> Self {
        Self(CURRENT.with(Cell::get))
    }

    /// Whether the guest is in another domain by now.
    pub(crate) fn is_over(self) -> bool {
        self != Self::current()
    }

    /// The guest is in a new domain.
    pub(crate) fn begin() {
        CURRENT.with(|current| current.set(current.get().wrapping_add(1)));
    }

    /// Tells who wants to know.
    pub(crate) fn announce() {
        let followers = FOLLOWERS.with(RefCell::take);
        followers.iter().filter_map(Weak::upgrade).for_each(|follower| follower.resumed());
        FOLLOWERS.with(|list| list.borrow_mut().extend(followers));
    }

    /// What `future` comes to, or `None` if the guest is in another domain before: then it does not run
    /// any more. Who awaits this waits for XenStore, whose watches all have something to tell then.
    pub(crate) async fn run<T>(self, future: impl Future<Output = T>) -> Option<T> {
        let mut future = pin!(future);
        poll_fn(|cx| {
            if self.is_over() {
                return Poll::Ready(None);
            }
            future.as_mut().poll(cx).map(Some)
        })
        .await
    }

    /// Tells `follower` from now on, as long as it is there.
    pub(crate) fn follow<T: Follower + 'static>(follower: &Rc<T>) {
        let follower = Rc::downgrade(follower);
        FOLLOWERS.with(|list| {
            let mut list = list.borrow_mut();
            list.retain(|follower| follower.strong_count() > 0);
            list.push(follower);
        });
    }
}
