//! Tasks that wait for entries.

use alloc::vec::Vec;
use core::{
    cell::{Cell, RefCell},
    future::Future,
    pin::Pin,
    task::{Context, Poll, Waker},
};

use super::{GrantError, GrantTable, reservation::Quota};

/// Who waits. All of them are woken when an entry becomes free, and look themselves whether it is
/// enough for them: tasks that do not want to wait any more cannot keep what others wait for.
pub(super) struct Waiting {
    wakers: RefCell<Vec<(u64, Waker)>>,
    last_key: Cell<u64>,
}

impl Waiting {
    pub(super) const fn new() -> Self {
        Self { wakers: RefCell::new(Vec::new()), last_key: Cell::new(0) }
    }

    /// An entry has become free.
    #[inline]
    pub(super) fn wake(&self) {
        if !self.wakers.borrow().is_empty() {
            self.wake_all();
        }
    }

    #[cold]
    fn wake_all(&self) {
        // Waking may run anything.
        let wakers = self.wakers.take();
        wakers.into_iter().for_each(|(_, waker)| waker.wake());
    }

    fn register(&self, key: u64, waker: &Waker) {
        let mut wakers = self.wakers.borrow_mut();
        match wakers.iter_mut().find(|(of, _)| *of == key) {
            Some((_, old)) => old.clone_from(waker),
            None => wakers.push((key, waker.clone())),
        }
    }

    fn forget(&self, key: u64) {
        self.wakers.borrow_mut().retain(|(of, _)| *of != key);
    }

    /// How many wait.
    #[cfg(test)]
    pub(super) fn count(&self) -> usize {
        self.wakers.borrow().len()
    }
}

/// Ready when entries are free. They are not taken: who is late waits again.
#[must_use = "futures do nothing unless awaited"]
pub struct Free<'a> {
    table: &'static GrantTable,
    quota: Option<&'a Quota>,
    count: usize,
    key: Option<u64>,
}

impl<'a> Free<'a> {
    pub(super) fn new(table: &'static GrantTable, quota: Option<&'a Quota>, count: usize) -> Self {
        Self { table, quota, count, key: None }
    }
}

impl Future for Free<'_> {
    /// An error if it would be in vain to wait.
    type Output = Result<(), GrantError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let result = match self.quota {
            Some(quota) => self.table.make_left(quota, 1),
            None => self.table.make_free(self.count),
        };
        match result {
            Err(GrantError::Full) if self.table.can_ever_have(self.count) => {}
            Err(GrantError::ReservationUsedUp) => {}
            result => return Poll::Ready(result),
        }
        let waiting = self.table.waiting();
        let key = self.key.unwrap_or_else(|| waiting.last_key.get() + 1);
        waiting.last_key.set(waiting.last_key.get().max(key));
        waiting.register(key, cx.waker());
        self.key = Some(key);
        Poll::Pending
    }
}

impl Drop for Free<'_> {
    fn drop(&mut self) {
        if let Some(key) = self.key {
            self.table.waiting().forget(key);
        }
    }
}
