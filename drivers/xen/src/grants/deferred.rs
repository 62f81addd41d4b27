//! Pages that are not granted any more, but still in use by the other side.

use alloc::{boxed::Box, collections::VecDeque, rc::Rc, vec::Vec};
use core::{any::Any, future::poll_fn, time::Duration};

use super::{GrantRef, GrantTable, reservation::Quota};

/// When a page is looked at first, after it has been in use when its grant ended.
const FIRST_PAUSE: Duration = Duration::from_millis(10);
/// The longest time between two looks, as each pause is twice the one before.
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

impl GrantTable {
    /// Looks at deferred entries as long as there are any: one task for the whole table, with the
    /// kernel's `sleep`. It does nothing while there are none.
    pub async fn tend_deferred(&self, sleep: impl AsyncFn(Duration)) -> ! {
        loop {
            poll_fn(|cx| self.deferral.poll(cx)).await;
            let mut pause = FIRST_PAUSE;
            while self.deferred() > 0 {
                sleep(pause).await;
                self.poll_deferred();
                pause = (2 * pause).min(LONGEST_PAUSE);
            }
        }
    }
}

/// An entry whose access has not ended, with what it keeps.
pub(super) struct Deferred {
    pub(super) reference: GrantRef,
    /// The page.
    pub(super) keep: Box<dyn Any>,
    pub(super) quota: Option<Rc<Quota>>,
    /// How many have been on the list before it.
    pub(super) number: u64,
}

/// Those that wait, the one that was looked at the longest ago first.
pub(super) struct DeferredList(VecDeque<Deferred>);

impl DeferredList {
    pub(super) const fn new() -> Self {
        Self(VecDeque::new())
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// The entries of those whose number is less than that.
    pub(super) fn before(&self, number: u64) -> impl Iterator<Item = GrantRef> {
        let earlier = self.0.iter().filter(move |deferred| deferred.number < number);
        earlier.map(|deferred| deferred.reference)
    }

    /// Adds one. Without memory for that, the page and its entry are lost: better than to let go of
    /// what the other side can write to.
    pub(super) fn push(&mut self, deferred: Deferred) {
        if self.0.try_reserve(1).is_ok() {
            self.0.push_back(deferred);
        } else {
            log::error!("no memory is left to wait for the end of a grant; its page is lost");
            core::mem::forget(deferred);
        }
    }

    pub(super) fn pop(&mut self) -> Option<Deferred> {
        self.0.pop_front()
    }
}

/// Puts a value on the heap without a type. Without memory for that, the value is lost, as in
/// [`DeferredList::push`].
pub(super) fn keep<T: 'static>(value: T) -> Option<Box<dyn Any>> {
    let mut values = Vec::new();
    if values.try_reserve_exact(1).is_err() {
        log::error!("no memory is left to wait for the end of a grant; its page is lost");
        core::mem::forget(value);
        return None;
    }
    values.push(value);
    let values: Result<Box<[T; 1]>, _> = values.into_boxed_slice().try_into();
    values.ok().map(|value| value as Box<dyn Any>)
}
