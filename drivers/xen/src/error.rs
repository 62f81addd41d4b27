//! Why Xen refuses a hypercall.

use core::fmt;

/// The error of a hypercall, by its number (xen/include/public/errno.h).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct XenError(pub i32);

impl XenError {
    /// What a hypercall returned, or the error that it means.
    pub(crate) fn check(result: isize) -> Result<usize, Self> {
        usize::try_from(result).map_err(|_| Self(i32::try_from(-result).unwrap_or(i32::MAX)))
    }
}

impl fmt::Display for XenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = match self.0 {
            1 => "Xen does not permit it; its security policy may forbid it (EPERM)",
            2 => "Xen finds no such thing (ENOENT)",
            3 => "Xen knows no such domain (ESRCH)",
            11 => "Xen is busy (EAGAIN)",
            12 => "Xen has no memory for it (ENOMEM)",
            14 => "Xen cannot read the arguments (EFAULT)",
            16 => "it is in use already (EBUSY)",
            22 => "Xen finds the arguments invalid (EINVAL)",
            28 => "Xen has no more of them for this guest (ENOSPC)",
            38 => "this Xen does not have it (ENOSYS)",
            number => return write!(f, "Xen refuses with error {number}"),
        };
        f.write_str(text)
    }
}

impl core::error::Error for XenError {}
