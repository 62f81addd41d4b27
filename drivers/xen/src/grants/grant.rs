//! A page that is granted.

use alloc::rc::Rc;
use core::fmt;

use super::{GrantRef, GrantTable, reservation::Quota};

/// Memory that can be granted: a page, or part of one, of which the other domain sees all.
///
/// # Safety
/// As long as the value is not dropped, wherever it is moved, the frame is the value's own, and it is
/// sound that somebody else reads it, and writes it unless it is only granted for reading.
pub unsafe trait Grantable: 'static {
    /// The number of the frame. `None` if there is none.
    fn frame(&self) -> Option<u64>;
}

/// A page that another domain may access, until this is dropped.
///
/// If the other domain still uses the page then, the page and the entry are kept until it does not.
pub struct Grant<T: Grantable> {
    table: &'static GrantTable,
    reference: GrantRef,
    /// `None` when it has been given back.
    page: Option<T>,
    quota: Option<Rc<Quota>>,
}

impl<T: Grantable> Grant<T> {
    pub(super) fn new(
        table: &'static GrantTable,
        reference: GrantRef,
        page: T,
        quota: Option<Rc<Quota>>,
    ) -> Self {
        Self { table, reference, page: Some(page), quota }
    }

    /// What the other domain is told, to find the page.
    pub fn reference(&self) -> GrantRef {
        self.reference
    }

    /// The page.
    ///
    /// # Panics
    /// Never: only [`end`](Self::end) takes the page, and the grant with it.
    pub fn page(&self) -> &T {
        self.page.as_ref().expect("there until the grant ends")
    }

    /// Whether the other domain uses the page at the moment.
    pub fn is_in_use(&self) -> bool {
        self.table.entry(self.reference).is_some_and(|entry| entry.is_in_use())
    }

    /// Ends the access, and gives the page back.
    ///
    /// # Errors
    /// The grant, if the other domain uses the page.
    pub fn end(mut self) -> Result<T, Self> {
        if !self.table.try_end(self.reference, self.quota.as_deref()) {
            return Err(self);
        }
        match self.page.take() {
            Some(page) => Ok(page),
            None => Err(self),
        }
    }
}

impl<T: Grantable> Drop for Grant<T> {
    fn drop(&mut self) {
        if let Some(page) = self.page.take() {
            self.table.release(self.reference, page, self.quota.take());
        }
    }
}

impl<T: Grantable> fmt::Debug for Grant<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Grant({})", self.reference.0)
    }
}
