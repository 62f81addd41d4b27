//! Grant tables: which pages of a guest other domains may access, and theirs that it may
//! (xen/include/public/grant_table.h, version 1).
//!
//! The table is made of frames that Xen gives one after another, each with 512 entries:
//!
//! ```text
//!   byte 0   flags: 1 access is permitted, 4 for reading only; 8 read at the moment, 16 written
//!   byte 2   who may access: a domain
//!   byte 4   what: a frame of this guest
//! ```
//!
//! A page that another domain has mapped stays with it, whatever the guest does to the entry. So an
//! entry owns its page ([`Grant`]), and both are kept until access has ended: what is still mapped
//! when a grant is dropped goes on a list of its own, and is looked at again.
//!
//! - `entry`: one entry, and how its access begins and ends;
//! - `table`: which entries are free, and more of them;
//! - `grant`: a page that is granted;
//! - `run`: several of them, of the same memory;
//! - `deferred`: pages that are not granted any more, but still in use;
//! - `reservation`: entries that a device can count on;
//! - `waiting`: tasks that wait for entries;
//! - `foreign`: pages of other domains, mapped here;
//! - `copy`: copies from and to pages of other domains, without mapping them.

mod copy;
mod deferred;
mod entry;
mod error;
mod foreign;
mod grant;
mod operations;
mod reservation;
mod run;
mod table;
mod waiting;

#[cfg(any(test, feature = "fake"))]
#[allow(clippy::unwrap_used, reason = "it is for tests")]
#[cfg_attr(not(test), allow(dead_code, reason = "some are only for unit tests"))]
pub(crate) mod fake;
#[cfg(test)]
mod tests;

pub use copy::{Buffer, Copy};
pub use error::{ForeignError, GrantError, GrantStatus};
pub use foreign::{ForeignPages, Mapping};
pub use grant::{Grant, Grantable};
pub(crate) use operations::{Handle, Operations};
pub use reservation::Reservation;
pub(crate) use run::{GrantablePages, GrantedPages};
pub use table::GrantTable;
pub use waiting::Free;

/// The number of a domain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DomainId(pub u16);

/// The number of an entry in a grant table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GrantRef(pub u32);

/// What another domain may do with a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Read.
    ReadOnly,
    /// Read and write.
    ReadWrite,
}
