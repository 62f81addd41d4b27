//! Who may read and write a node.

use alloc::{string::String, vec::Vec};
use core::fmt::Write;

/// What a domain may do with a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Nothing.
    None,
    /// Read it, and list its children.
    Read,
    /// Write it, and make children.
    Write,
    /// Both.
    Both,
}

/// The permissions of a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Permissions {
    /// The domain that owns the node, and may do everything with it.
    pub owner: u16,
    /// What all others may do who are not listed.
    pub default: Access,
    /// Domains, and what they may do.
    pub others: Vec<(u16, Access)>,
}

impl Access {
    const LETTERS: [(Self, char); 4] =
        [(Self::None, 'n'), (Self::Read, 'r'), (Self::Write, 'w'), (Self::Both, 'b')];

    fn letter(self) -> char {
        Self::LETTERS[self as usize].1
    }

    /// What `text`, a letter and the number of a domain, says.
    fn parse(text: &str) -> Option<(u16, Self)> {
        let mut rest = text.chars();
        let letter = rest.next()?;
        let (access, _) = Self::LETTERS.into_iter().find(|(_, other)| *other == letter)?;
        Some((rest.as_str().parse().ok()?, access))
    }
}

impl Permissions {
    /// As the protocol has them: letter and domain, each with a NUL at its end, the owner's first.
    pub(super) fn to_wire(&self) -> String {
        let mut text = String::new();
        for (domain, access) in [(self.owner, self.default)].iter().chain(&self.others) {
            // Writing to a string does not fail.
            let _ = write!(text, "{}{domain}\0", access.letter());
        }
        text
    }

    pub(super) fn from_wire<'a>(mut texts: impl Iterator<Item = &'a str>) -> Option<Self> {
        let (owner, default) = Access::parse(texts.next()?)?;
        let others = texts.map(Access::parse).collect::<Option<_>>()?;
        Some(Self { owner, default, others })
    }
}

#[cfg(test)]
mod tests {
    extern crate std;

    use std::vec;

    use super::*;

    #[test]
    fn permissions_come_back_as_they_were_sent() {
        let others = vec![(3, Access::Both), (65535, Access::Write), (1, Access::Read)];
        let permissions = Permissions { owner: 7, default: Access::None, others };
        let text = permissions.to_wire();
        assert_eq!(text, "n7\0b3\0w65535\0r1\0");
        assert_eq!(Permissions::from_wire(text.split_terminator('\0')), Some(permissions));
    }

    #[test]
    fn what_are_no_permissions_is_refused() {
        for text in ["", "n", "x1", "n65536", "n-1", "ä1"] {
            assert_eq!(Permissions::from_wire([text].into_iter()), None, "{text}");
        }
        assert_eq!(Permissions::from_wire(core::iter::empty()), None);
    }
}
