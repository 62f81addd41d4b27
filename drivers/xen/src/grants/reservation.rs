//! Entries that a device can count on.

use alloc::rc::Rc;
use core::cell::Cell;

use super::{Access, DomainId, Free, Grant, GrantError, GrantTable, Grantable};

/// A number of entries that are there for a device, whatever others do. They go back to all when
/// this is dropped, those in use when their grants end.
pub struct Reservation(Rc<Quota>);

/// What is left of a reservation.
pub(super) struct Quota {
    table: &'static GrantTable,
    left: Cell<usize>,
    /// The reservation was dropped, and only grants are left.
    is_over: Cell<bool>,
}

impl Reservation {
    /// `count` entries that the table has set aside.
    pub(super) fn new(table: &'static GrantTable, count: usize) -> Self {
        Self(Rc::new(Quota { table, left: Cell::new(count), is_over: Cell::new(false) }))
    }

    /// As [`GrantTable::grant`], with one of the reserved entries.
    ///
    /// # Errors
    /// [`GrantError::ReservationUsedUp`] if none is left, with the page.
    pub fn grant<T: Grantable>(
        &self,
        domain: DomainId,
        page: T,
        access: Access,
    ) -> Result<Grant<T>, (GrantError, T)> {
        self.0.table.grant_with(domain, page, access, Some(&self.0))
    }

    pub(super) fn table(&self) -> &'static GrantTable {
        self.0.table
    }

    pub(super) fn quota(&self) -> &Rc<Quota> {
        &self.0
    }

    /// How many entries are left.
    pub fn left(&self) -> usize {
        self.0.left.get()
    }

    /// Waits until one of the entries is free.
    pub fn wait_for_free(&self) -> Free<'_> {
        Free::new(self.0.table, Some(&self.0), 1)
    }
}

impl Quota {
    pub(super) fn left(&self) -> usize {
        self.left.get()
    }

    /// Takes an entry, of those that are left.
    pub(super) fn take(&self) -> bool {
        let left = self.left.get().checked_sub(1);
        left.inspect(|left| self.left.set(*left)).is_some()
    }

    /// Takes an entry back, unless it goes to all. Returns whether it has.
    pub(super) fn put_back(&self) -> bool {
        let is_reserved = !self.is_over.get();
        self.left.set(self.left.get() + usize::from(is_reserved));
        is_reserved
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.0.is_over.set(true);
        self.0.table.end_reservation(self.0.left.take());
    }
}
