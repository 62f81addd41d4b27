//! Which entries are free, and more of them.

use alloc::{rc::Rc, vec::Vec};
use core::cell::RefCell;

use mayfly_device::Signal;

#[cfg(any(test, feature = "fake"))]
use super::fake::entry_frame;
use super::{
    Access, DomainId, Free, Grant, GrantError, GrantRef, Grantable, Operations, Reservation,
    deferred::{Deferred, DeferredList, keep},
    entry::Entry,
    reservation::Quota,
    waiting::Waiting,
};
use crate::shared_page::{SharedPage, TakenFrame, Window};

/// Entries in a frame.
const ENTRIES: usize = 512;
/// The first entries, which are not for the guest to use (`GNTTAB_NR_RESERVED_ENTRIES`): who builds
/// the domain grants its console and XenStore there.
const RESERVED: usize = 8;
/// At how many deferred entries each release looks: more than it can add.
const LOOKS: usize = 2;

/// The grant table of this guest.
///
/// A grant and a release cost no memory, and the same time whatever the number of grants.
pub struct GrantTable {
    xen: &'static dyn Operations,
    state: RefCell<State>,
    waiting: Waiting,
    /// Raised when an entry is deferred and none was before.
    pub(super) deferral: Signal,
}

struct State {
    /// Where frames of the table can be.
    window: Window,
    /// Those that there are, and where.
    frames: Vec<(SharedPage, TakenFrame)>,
    /// How many there may be, when Xen has been asked.
    limit: Option<usize>,
    /// Free entries that have been in use; there is room for all entries.
    released: Vec<u32>,
    /// The first entry that has never been in use, as have those behind it.
    fresh: usize,
    /// Free entries that are for devices only.
    reserved: usize,
    deferred: DeferredList,
    /// How many have ever been on that list.
    deferrals: u64,
}

/// The number of a frame in an entry. `None` if the frame is beyond what can be granted.
#[cfg(not(any(test, feature = "fake")))]
fn entry_frame(frame: u64) -> Option<u32> {
    u32::try_from(frame).ok()
}

impl State {
    fn entry(&self, reference: GrantRef) -> Option<Entry<'static>> {
        let index = reference.0 as usize;
        let (frame, _) = self.frames.get(index / ENTRIES)?;
        let offset = index % ENTRIES * 8;
        Some(Entry { header: frame.word(offset), frame: frame.word(offset + 4) })
    }

    /// Free entries, those that are reserved included.
    fn free(&self) -> usize {
        self.released.len() + (self.frames.len() * ENTRIES).saturating_sub(self.fresh)
    }

    /// Takes a free entry, if there is one.
    fn take(&mut self) -> Option<(GrantRef, Entry<'static>)> {
        if let Some(index) = self.released.pop() {
            let reference = GrantRef(index);
            return Some((reference, self.entry(reference)?));
        }
        // An entry that somebody else has filled in is not touched.
        loop {
            let reference = GrantRef(u32::try_from(self.fresh).ok()?);
            let entry = self.entry(reference)?;
            self.fresh += 1;
            if entry.is_empty() {
                return Some((reference, entry));
            }
        }
    }
}

impl GrantTable {
    /// The table, which is in `window` as far as it is needed.
    pub(crate) fn new(window: Window, xen: &'static dyn Operations) -> Self {
        let state = State {
            window,
            frames: Vec::new(),
            limit: None,
            released: Vec::new(),
            fresh: RESERVED,
            reserved: 0,
            deferred: DeferredList::new(),
            deferrals: 0,
        };
        Self { xen, state: RefCell::new(state), waiting: Waiting::new(), deferral: Signal::new() }
    }

    /// Grants `domain` access to a page, until the [`Grant`] is dropped.
    ///
    /// # Errors
    /// [`GrantError`], with the page. [`wait_for_free`](Self::wait_for_free) helps if it is `Full`.
    pub fn grant<T: Grantable>(
        &'static self,
        domain: DomainId,
        page: T,
        access: Access,
    ) -> Result<Grant<T>, (GrantError, T)> {
        self.grant_with(domain, page, access, None)
    }

    /// Sets `count` entries aside.
    ///
    /// # Errors
    /// [`GrantError`] if there are not so many.
    pub fn reserve(&'static self, count: usize) -> Result<Reservation, GrantError> {
        self.make_free(count)?;
        self.state.borrow_mut().reserved += count;
        Ok(Reservation::new(self, count))
    }

    /// Waits until `count` entries are free for all. They are not taken: who is late waits again.
    pub fn wait_for_free(&'static self, count: usize) -> Free<'static> {
        Free::new(self, None, count)
    }

    /// How many entries are free at the moment, without those that are reserved.
    pub fn free(&self) -> usize {
        let state = self.state.borrow();
        state.free().saturating_sub(state.reserved)
    }

    /// How many frames the table has.
    pub fn frames(&self) -> usize {
        self.state.borrow().frames.len()
    }

    /// How many entries are kept because the other side still uses their pages. Xen does not
    /// tell when the use ends: a task has to [look at them](Self::tend_deferred).
    pub fn deferred(&self) -> usize {
        self.state.borrow().deferred.len()
    }

    /// How many entries have ever been kept so: each has the number of those before it.
    pub(crate) fn deferrals(&self) -> u64 {
        self.state.borrow().deferrals
    }

    /// How many of those before number `before` a domain uses at the moment.
    pub(crate) fn deferred_to(&self, domain: DomainId, before: u64) -> usize {
        self.look_at_deferred(usize::MAX);
        let state = self.state.borrow();
        let entries = state.deferred.before(before).filter_map(|of| state.entry(of));
        entries.filter(|entry| entry.domain() == domain).count()
    }

    /// Looks whether the pages of deferred entries are still in use, and returns how many are.
    pub fn poll_deferred(&self) -> usize {
        self.look_at_deferred(usize::MAX);
        self.deferred()
    }

    pub(super) fn grant_with<T: Grantable>(
        &'static self,
        domain: DomainId,
        page: T,
        access: Access,
        quota: Option<&Rc<Quota>>,
    ) -> Result<Grant<T>, (GrantError, T)> {
        let Some(frame) = page.frame().and_then(entry_frame) else {
            return Err((GrantError::NoFrame, page));
        };
        match self.take(quota.map(|quota| &**quota)) {
            Ok((reference, entry)) => {
                entry.begin(domain, frame, access);
                Ok(Grant::new(self, reference, page, quota.cloned()))
            }
            Err(error) => Err((error, page)),
        }
    }

    /// Grants access to a frame with an entry of a reservation, which is the caller's to end.
    pub(super) fn begin(
        &self,
        domain: DomainId,
        frame: u64,
        access: Access,
        quota: &Quota,
    ) -> Result<GrantRef, GrantError> {
        let frame = entry_frame(frame).ok_or(GrantError::NoFrame)?;
        let (reference, entry) = self.take(Some(quota))?;
        entry.begin(domain, frame, access);
        Ok(reference)
    }

    /// Takes a free entry, after making one if necessary.
    fn take(&self, quota: Option<&Quota>) -> Result<(GrantRef, Entry<'static>), GrantError> {
        match quota {
            Some(quota) => self.make_left(quota, 1)?,
            None => self.make_free(1)?,
        }
        let mut state = self.state.borrow_mut();
        let taken = state.take().ok_or(GrantError::Full)?;
        if quota.is_some_and(Quota::take) {
            state.reserved -= 1;
        }
        Ok(taken)
    }

    /// Makes sure that so many entries are free, and not reserved.
    pub(super) fn make_free(&self, count: usize) -> Result<(), GrantError> {
        if self.free() >= count {
            return Ok(());
        }
        self.look_at_deferred(usize::MAX);
        while self.free() < count {
            self.grow()?;
        }
        Ok(())
    }

    /// Makes sure that so many entries of a reservation are left.
    pub(super) fn make_left(&self, quota: &Quota, count: usize) -> Result<(), GrantError> {
        if quota.left() < count {
            self.look_at_deferred(usize::MAX);
        }
        if quota.left() >= count { Ok(()) } else { Err(GrantError::ReservationUsedUp) }
    }

    /// Whether the table can have so many entries, if all others are free.
    pub(super) fn can_ever_have(&self, count: usize) -> bool {
        let state = self.state.borrow();
        let frames = state.frames.len();
        let limit = state.limit.unwrap_or(0).min(frames + state.window.free()).max(frames);
        (limit * ENTRIES).saturating_sub(RESERVED) >= count
    }

    /// Adds a frame.
    #[cold]
    fn grow(&self) -> Result<(), GrantError> {
        let mut state = self.state.borrow_mut();
        let limit = match state.limit {
            Some(limit) => limit,
            None => self.xen.max_frames().map_err(GrantError::Xen)?,
        };
        state.limit = Some(limit);
        let index = state.frames.len();
        if index >= limit {
            return Err(GrantError::Full);
        }
        // So that a release needs no memory.
        let room = (index + 1) * ENTRIES - state.released.len();
        state.released.try_reserve_exact(room).map_err(|_| GrantError::NoMemory)?;
        state.frames.try_reserve(1).map_err(|_| GrantError::NoMemory)?;
        let place = state.window.take().ok_or(GrantError::Full)?;
        match self.xen.place_frame(index, place) {
            Ok(page) => {
                let frame = page.taken();
                state.frames.push((page.leak(), frame));
                Ok(())
            }
            Err((error, place)) => {
                state.window.put_back(place);
                Err(GrantError::Xen(error))
            }
        }
    }

    /// Has Xen show the table that the guest has now, in another domain. It permits nothing: what was
    /// granted before is void, but has its entry until the grant ends, so that nobody takes one for
    /// the other. Who had a page mapped had that of the other domain.
    pub(crate) fn resume(&self) {
        let state = self.state.borrow();
        for (index, (_, frame)) in state.frames.iter().enumerate() {
            if let Err(error) = self.xen.replace_frame(index, *frame) {
                log::error!("part {index} of the grant table is lost: {error}");
            }
        }
    }

    /// For a fake of Xen: the table is that of a new domain.
    #[cfg(any(test, feature = "fake"))]
    pub(crate) fn clear(&self) {
        let state = self.state.borrow();
        let words = state.frames.iter().flat_map(|(page, _)| page.words());
        words.for_each(|word| word.store(0, core::sync::atomic::Ordering::Relaxed));
    }

    pub(super) fn entry(&self, reference: GrantRef) -> Option<Entry<'static>> {
        self.state.borrow().entry(reference)
    }

    pub(super) fn waiting(&self) -> &Waiting {
        &self.waiting
    }

    /// Ends the access by an entry, and frees it, unless its page is in use. Returns whether that is
    /// done.
    pub(super) fn try_end(&self, reference: GrantRef, quota: Option<&Quota>) -> bool {
        let mut state = self.state.borrow_mut();
        if !state.entry(reference).is_some_and(Entry::end) {
            return false;
        }
        // Not more than there are entries, for which there is room.
        state.released.push(reference.0);
        if quota.is_some_and(Quota::put_back) {
            state.reserved += 1;
        }
        drop(state);
        self.waiting.wake();
        true
    }

    /// Ends the access by an entry, now or later, and drops its page then.
    pub(super) fn release<T: Grantable>(
        &self,
        reference: GrantRef,
        page: T,
        quota: Option<Rc<Quota>>,
    ) {
        self.look_at_deferred(LOOKS);
        if !self.try_end(reference, quota.as_deref())
            && let Some(keep) = keep(page)
        {
            let deferred = Deferred { reference, keep, quota, number: self.deferrals() };
            self.state.borrow_mut().deferrals += 1;
            if self.defer(deferred) == 1 {
                self.deferral.raise();
            }
        }
    }

    /// Looks whether the pages of at most `count` deferred entries are still in use.
    #[inline]
    fn look_at_deferred(&self, count: usize) {
        let count = count.min(self.deferred());
        if count > 0 {
            self.look(count);
        }
    }

    #[cold]
    fn look(&self, count: usize) {
        for _ in 0..count {
            let Some(deferred) = self.state.borrow_mut().deferred.pop() else { return };
            if self.try_end(deferred.reference, deferred.quota.as_deref()) {
                // May grant or release something itself.
                drop(deferred.keep);
            } else {
                self.defer(deferred);
            }
        }
    }

    /// Puts an entry on the list, and returns how many there are.
    fn defer(&self, deferred: Deferred) -> usize {
        let list = &mut self.state.borrow_mut().deferred;
        list.push(deferred);
        list.len()
    }

    /// A reservation ends, with so many entries that are not in use.
    pub(super) fn end_reservation(&self, count: usize) {
        self.state.borrow_mut().reserved -= count;
        self.waiting.wake();
    }
}
