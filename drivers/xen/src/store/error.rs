//! Why XenStore does not do what it was asked for.

use core::fmt;

/// The error of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum StoreError {
    /// There is no such node (ENOENT).
    NotFound,
    /// The permissions of the node, or those of the guest, do not allow it (EACCES, EPERM, EROFS).
    Denied,
    /// It is there already (EEXIST).
    Exists,
    /// Others changed the same nodes meanwhile, more often than it pays to try again (EAGAIN).
    Again,
    /// The request is longer than one may be: 4096 bytes, of which a path may have 3072, or 2048 if
    /// it is relative. It was not sent. Or a directory has more names than this side takes, or
    /// than the daemon of XenStore can list.
    TooLarge,
    /// The guest has as many nodes, watches or transactions, or as large ones, as it may have
    /// (ENOSPC, EQUOTA, E2BIG, ENOMEM).
    Quota,
    /// The path or the value is not one that can be (EINVAL, EISDIR).
    Invalid,
    /// Nobody serves the connection any more.
    Disconnected,
    /// The other side broke the protocol.
    Protocol,
    /// Another error, by the name that XenStore gives it.
    Other(ErrorName),
}

/// The name of an error, such as `EIO`.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct ErrorName([u8; Self::SIZE]);

impl ErrorName {
    /// Longer names are cut.
    const SIZE: usize = 16;

    fn new(name: &[u8]) -> Self {
        let mut kept = [0; Self::SIZE];
        for (place, byte) in kept.iter_mut().zip(name) {
            *place = if byte.is_ascii_graphic() { *byte } else { b'?' };
        }
        Self(kept)
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        let name = self.0.split(|&byte| byte == 0).next().unwrap_or_default();
        core::str::from_utf8(name).unwrap_or_default()
    }
}

impl fmt::Debug for ErrorName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl StoreError {
    /// What an error's name means (`xsd_errors` of xen/include/public/io/xs_wire.h).
    pub(super) fn named(name: &[u8]) -> Self {
        match name {
            b"ENOENT" => Self::NotFound,
            b"EACCES" | b"EPERM" | b"EROFS" => Self::Denied,
            b"EEXIST" => Self::Exists,
            b"EAGAIN" => Self::Again,
            b"ENOSPC" | b"EQUOTA" | b"E2BIG" | b"ENOMEM" => Self::Quota,
            b"EINVAL" | b"EISDIR" => Self::Invalid,
            name => Self::Other(ErrorName::new(name)),
        }
    }
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotFound => "XenStore has no such node (ENOENT)",
            Self::Denied => {
                "XenStore does not permit it; a guest may write below its own `data` (EACCES)"
            }
            Self::Exists => "XenStore has it already (EEXIST)",
            Self::Again => "others keep changing the same nodes of XenStore; try later (EAGAIN)",
            Self::TooLarge => "that is longer than XenStore takes, or can list; split it",
            Self::Quota => {
                "the guest has used up its quota of XenStore; remove nodes, watches or transactions"
            }
            Self::Invalid => "XenStore finds the path or the value invalid (EINVAL)",
            Self::Disconnected => "there is no connection with XenStore any more",
            Self::Protocol => "XenStore sent what makes no sense; the connection is given up",
            Self::Other(name) => return write!(f, "XenStore refuses with {}", name.as_str()),
        })
    }
}

impl core::error::Error for StoreError {}

#[cfg(test)]
mod tests {
    extern crate std;

    use std::string::ToString;

    use super::*;

    #[test]
    fn names_are_kept_as_far_as_they_can_be_printed() {
        assert_eq!(StoreError::named(b"ENOENT"), StoreError::NotFound);
        assert_eq!(StoreError::named(b"EIO").to_string(), "XenStore refuses with EIO");
        let error = StoreError::named(b"E\x1b[0m a name that is much too long");
        assert_eq!(error.to_string(), "XenStore refuses with E?[0m?a?name?tha");
    }
}
