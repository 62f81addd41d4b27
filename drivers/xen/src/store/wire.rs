//! Messages as they are on the ring (xen/include/public/io/xs_wire.h, docs/misc/xenstore.txt): four
//! words, which are type, request, transaction and length, and as many bytes of payload.

use alloc::{format, vec::Vec};

use super::StoreError;

/// Bytes of a message before its payload.
pub(super) const HEADER: usize = 16;
/// Most bytes of a payload: the server ends the connection with who sends more.
pub(super) const PAYLOAD_MAX: usize = 4096;

/// Longest path from the root, in bytes, with the NUL at its end.
const ABSOLUTE_PATH_MAX: usize = 3072;
/// Longest path relative to the guest's own directory, in bytes, with the NUL at its end.
const RELATIVE_PATH_MAX: usize = 2048;

/// Types of messages that this side sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub(super) enum Kind {
    Directory = 1,
    Read = 2,
    GetPermissions = 3,
    Watch = 4,
    Unwatch = 5,
    TransactionStart = 6,
    TransactionEnd = 7,
    GetDomainPath = 10,
    Write = 11,
    MakeDirectory = 12,
    Remove = 13,
    SetPermissions = 14,
    DirectoryPart = 22,
}

/// The type of what comes by itself, because a watched node has changed.
pub(super) const WATCH_EVENT: u32 = 15;
/// The type of a reply that has the name of an error.
pub(super) const ERROR: u32 = 16;

/// The start of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) kind: u32,
    pub(super) request: u32,
    pub(super) transaction: u32,
    pub(super) length: u32,
}

impl Header {
    pub(super) fn to_bytes(self) -> [u8; HEADER] {
        let words = [self.kind, self.request, self.transaction, self.length];
        let mut bytes = [0; HEADER];
        for (place, word) in bytes.chunks_exact_mut(4).zip(words) {
            place.copy_from_slice(&word.to_le_bytes());
        }
        bytes
    }

    pub(super) fn from_bytes(bytes: [u8; HEADER]) -> Self {
        let [kind, request, transaction, length] =
            [0, 4, 8, 12].map(|at| u32::from_le_bytes(core::array::from_fn(|i| bytes[at + i])));
        Self { kind, request, transaction, length }
    }
}

/// A whole message, whose payload is these parts one after the other.
pub(super) fn message(
    kind: Kind,
    request: u32,
    transaction: u32,
    parts: &[&[u8]],
) -> Result<Vec<u8>, StoreError> {
    let length = parts.iter().fold(0_usize, |sum, part| sum.saturating_add(part.len()));
    if length > PAYLOAD_MAX {
        return Err(StoreError::TooLarge);
    }
    let header = Header { kind: kind as u32, request, transaction, length: length as u32 };
    let mut bytes = Vec::with_capacity(HEADER + length);
    bytes.extend_from_slice(&header.to_bytes());
    for part in parts {
        bytes.extend_from_slice(part);
    }
    Ok(bytes)
}

/// The bytes of a path that can be sent, without the NUL that ends it. The rest of what a path may
/// not be is left to the server to say.
pub(super) fn path(path: &str) -> Result<&[u8], StoreError> {
    let limit = if path.starts_with('/') { ABSOLUTE_PATH_MAX } else { RELATIVE_PATH_MAX };
    if path.is_empty() || path.contains('\0') {
        return Err(StoreError::Invalid);
    }
    if path.len() < limit { Ok(path.as_bytes()) } else { Err(StoreError::TooLarge) }
}

/// The payload of a request about the watch of this number on a path.
pub(super) fn watch(path: &str, number: u32) -> Vec<u8> {
    format!("{path}\0{number}\0").into_bytes()
}

/// A text that ends with NUL. `None` if it does not, or has another.
pub(super) fn text(payload: &[u8]) -> Option<&str> {
    let (0, text) = payload.split_last()? else { return None };
    (!text.contains(&0)).then(|| core::str::from_utf8(text).ok())?
}

/// Texts that each end with NUL. `None` if the last does not, or one is not UTF-8.
pub(super) fn texts(payload: &[u8]) -> Option<impl Iterator<Item = &str>> {
    let text = core::str::from_utf8(payload).ok()?;
    (text.is_empty() || text.ends_with('\0')).then(|| text.split_terminator('\0'))
}

#[cfg(test)]
mod tests {
    extern crate std;

    use std::{string::String, vec};

    use super::*;

    #[test]
    fn messages_are_as_the_header_says() {
        let bytes = message(Kind::Write, 7, 9, &[b"a\0", b"b"]).unwrap();
        assert_eq!(bytes, b"\x0b\0\0\0\x07\0\0\0\x09\0\0\0\x03\0\0\0a\0b");
        let header = Header { kind: 11, request: 7, transaction: 9, length: 3 };
        assert_eq!(Header::from_bytes(bytes[..HEADER].try_into().unwrap()), header);
    }

    #[test]
    fn what_is_too_long_is_refused() {
        assert!(message(Kind::Write, 1, 0, &[&[0; 4095], b"x"]).is_ok());
        let refused = message(Kind::Write, 1, 0, &[&[0; 4096], b"x"]);
        assert_eq!(refused, Err(StoreError::TooLarge));
        assert_eq!(path(&"a".repeat(2048)), Err(StoreError::TooLarge));
        assert!(path(&"a".repeat(2047)).is_ok());
        let absolute = String::from("/") + &"a".repeat(3070);
        assert!(path(&absolute).is_ok());
        assert_eq!(path(&(absolute + "a")), Err(StoreError::TooLarge));
        assert_eq!(path("a\0b"), Err(StoreError::Invalid));
        assert_eq!(path(""), Err(StoreError::Invalid));
    }

    #[test]
    fn texts_end_with_nul() {
        assert_eq!(text(b"a\0"), Some("a"));
        assert_eq!(text(b"a"), None);
        assert_eq!(text(b"a\0b\0"), None);
        assert_eq!(text(b""), None);
        let list = |payload| texts(payload).map(|list| list.map(String::from).collect());
        assert_eq!(list(b"a\0b\0"), Some(vec!["a".into(), "b".into()]));
        assert_eq!(list(b""), Some(vec![]));
        assert_eq!(list(b"a\0b"), None);
        assert_eq!(list(b"\xff\0"), None);
    }
}
