//! A ring that the back end may use.

use alloc::{
    string::{String, ToString},
    vec::Vec,
};
use core::iter;

use super::ConnectError;
use crate::{
    front_ring::{FrontRing, RingMemory},
    grants::{Access, DomainId, Grant, GrantRef, Reservation},
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
    let grant = granted_page(entries, domain)?;
    let reference = grant.reference().0.to_string();
    Ok((FrontRing::new(grant), reference))
}

/// A ring on pages that the back end was granted.
pub(crate) type LargeRing<const WORDS: usize> = FrontRing<RingMemory, WORDS>;

/// A ring on so many fresh pages that `domain` is granted, at least one, and the references to them.
///
/// # Errors
/// As of [`granted_ring`].
pub(crate) fn large_ring<const WORDS: usize>(
    entries: &Reservation,
    domain: DomainId,
    pages: usize,
) -> Result<(LargeRing<WORDS>, Vec<GrantRef>), ConnectError> {
    let first = granted_page(entries, domain)?;
    let others = (1..pages).map(|_| granted_page(entries, domain));
    let others: Vec<_> = others.collect::<Result<_, _>>()?;
    let references = iter::once(&first).chain(&others).map(Grant::reference).collect();
    Ok((FrontRing::new(RingMemory { first, others }), references))
}

/// A fresh page that `domain` is granted.
///
/// # Errors
/// As of [`granted_ring`].
pub(crate) fn granted_page(
    entries: &Reservation,
    domain: DomainId,
) -> Result<Grant<HeapPage>, ConnectError> {
    let page = HeapPage::zeroed().ok_or(ConnectError::OutOfMemory)?;
    Ok(entries.grant(domain, page, Access::ReadWrite).map_err(|(error, _)| error)?)
}
