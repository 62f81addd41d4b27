//! A ring that the back end may use.

use alloc::string::{String, ToString};

use super::ConnectError;
use crate::{
    front_ring::FrontRing,
    grants::{Access, DomainId, Grant, Reservation},
    shared_page::HeapPage,
};

/// A ring on a page that the back end was granted.
pub(crate) type GrantedRing<const WORDS: usize> = FrontRing<Grant<HeapPage>, WORDS>;

/// A ring on a fresh page that `domain` is granted, and the reference to it.
///
/// # Errors
/// If there is no memory, or no entry left in the table.
pub(crate) fn granted_ring<const WORDS: usize>(
    entries: &Reservation,
    domain: DomainId,
) -> Result<(GrantedRing<WORDS>, String), ConnectError> {
    let page = HeapPage::zeroed().ok_or(ConnectError::OutOfMemory)?;
    let grant = entries.grant(domain, page, Access::ReadWrite).map_err(|(error, _)| error)?;
    let reference = grant.reference().0.to_string();
    Ok((FrontRing::new(grant), reference))
}
