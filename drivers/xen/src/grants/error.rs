//! Why something is not granted, mapped or copied.

use core::fmt;

use crate::XenError;

/// Why a page is not granted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GrantError {
    /// All entries are in use or reserved, and Xen gives no more.
    Full,
    /// The device uses all that it has reserved.
    ReservationUsedUp,
    /// There is no memory to manage more entries.
    NoMemory,
    /// What is to be granted is not memory that has frames, or its frame's number is too large.
    NoFrame,
    /// Xen does not extend the table.
    Xen(XenError),
}

impl fmt::Display for GrantError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Full => {
                "all entries of the grant table are in use; wait for one, or set max_grant_frames"
            }
            Self::ReservationUsedUp => "the device uses all its grants; wait for one",
            Self::NoMemory => "no memory is left to manage more grants",
            Self::NoFrame => "this memory cannot be granted; take a page of the heap",
            Self::Xen(error) => return write!(f, "the grant table does not grow: {error}"),
        })
    }
}

impl core::error::Error for GrantError {}

/// Why a page of another domain is not mapped or copied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ForeignError {
    /// As many pages are mapped as can be.
    NoPlace,
    /// A copy is not within a page.
    NotWithinPage,
    /// Xen refuses this page.
    Refused(GrantStatus),
    /// Xen refuses the hypercall.
    Xen(XenError),
}

impl fmt::Display for ForeignError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoPlace => f.write_str("too many pages of other domains are mapped; unmap some"),
            Self::NotWithinPage => f.write_str("the copy crosses the end of a page; split it"),
            Self::Refused(status) => status.fmt(f),
            Self::Xen(error) => error.fmt(f),
        }
    }
}

impl core::error::Error for ForeignError {}

/// What Xen thinks of a grant of another domain (`GNTST_*`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i16)]
pub enum GrantStatus {
    /// It fails for a reason that is not told. Xen 4.17 says so of a page that is not granted to this
    /// guest, or for reading only.
    General = -1,
    /// There is no such domain.
    BadDomain = -2,
    /// The domain has granted no such page to this guest.
    BadReference = -3,
    /// There is no such mapping.
    BadHandle = -4,
    /// A page cannot be mapped at this address.
    BadAddress = -5,
    /// No device can be given this address.
    BadDeviceAddress = -6,
    /// The IOMMU is full.
    NoDeviceSpace = -7,
    /// The grant, or Xen's security policy, does not permit it.
    PermissionDenied = -8,
    /// The page is of a kind that cannot be used for this.
    BadPage = -9,
    /// A copy crosses the end of a page.
    BadCopy = -10,
    /// The address of the page is too large.
    AddressTooBig = -11,
    /// The page is not at hand.
    Again = -12,
    /// There is no room for more mappings.
    NoSpace = -13,
}

impl GrantStatus {
    /// What a status means.
    pub(crate) fn check(status: i16) -> Result<(), Self> {
        Err(match status {
            0 => return Ok(()),
            -2 => Self::BadDomain,
            -3 => Self::BadReference,
            -4 => Self::BadHandle,
            -5 => Self::BadAddress,
            -6 => Self::BadDeviceAddress,
            -7 => Self::NoDeviceSpace,
            -8 => Self::PermissionDenied,
            -9 => Self::BadPage,
            -10 => Self::BadCopy,
            -11 => Self::AddressTooBig,
            -12 => Self::Again,
            -13 => Self::NoSpace,
            _ => Self::General,
        })
    }
}

impl fmt::Display for GrantStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::General => {
                "Xen gives no reason; as a rule the page is not granted to this guest, or not for this"
            },
            Self::BadDomain => "Xen knows no such domain",
            Self::BadReference => "the other domain has granted no such page to this guest",
            Self::BadHandle => "Xen knows no such mapping",
            Self::BadAddress => "nothing can be mapped at this address",
            Self::BadDeviceAddress => "this address is not one for devices",
            Self::NoDeviceSpace => "the IOMMU is full",
            Self::PermissionDenied => {
                "the grant does not permit it, or Xen's security policy forbids it"
            }
            Self::BadPage => "the other domain's page is of a kind that cannot be granted",
            Self::BadCopy => "the copy crosses the end of a page",
            Self::AddressTooBig => "the address of the page is too large",
            Self::Again => "the other domain's page is not at hand; try again later",
            Self::NoSpace => "Xen has no room for more mappings",
        })
    }
}

impl core::error::Error for GrantStatus {}
