//! One entry of the table.

use core::sync::atomic::{AtomicU32, Ordering, fence};

use super::{Access, DomainId};

// Flags (`GTF_*`), in the low half of the first word; the domain is in its high half. Both are taken
// as one here, as Xen does it.
const PERMIT_ACCESS: u32 = 1 << 0;
const READ_ONLY: u32 = 1 << 2;
const READING: u32 = 1 << 3;
const WRITING: u32 = 1 << 4;
const FLAGS: u32 = 0xffff;

/// How often Xen may change an entry while its access is to end. It does so when the other domain
/// begins or ends to use the page, which a hostile one may do all the time.
const TRIES: u32 = 4;

/// An entry.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entry<'a> {
    pub(super) header: &'a AtomicU32,
    pub(super) frame: &'a AtomicU32,
}

impl Entry<'_> {
    /// Whether it permits nothing, and nothing is in use by it.
    pub(super) fn is_empty(self) -> bool {
        self.header.load(Ordering::Relaxed) & FLAGS == 0
    }

    /// Permits a domain to access a frame, from now on.
    pub(super) fn begin(self, domain: DomainId, frame: u32, access: Access) {
        let read_only = if access == Access::ReadOnly { READ_ONLY } else { 0 };
        let header = u32::from(domain.0) << 16 | PERMIT_ACCESS | read_only;
        // Xen looks at the rest when it has seen the flags, the domain's word is one with them.
        self.frame.store(frame, Ordering::Relaxed);
        self.header.store(header, Ordering::Release);
    }

    /// Who may access the page, or might last.
    pub(super) fn domain(self) -> DomainId {
        DomainId((self.header.load(Ordering::Relaxed) >> 16) as u16)
    }

    /// Whether the page is mapped, or being copied, at the moment.
    pub(super) fn is_in_use(self) -> bool {
        self.header.load(Ordering::Acquire) & (READING | WRITING) != 0
    }

    /// Ends the access, unless the page is in use. Returns whether it has ended.
    pub(super) fn end(self) -> bool {
        let mut header = self.header.load(Ordering::Relaxed);
        for _ in 0..TRIES {
            if header & (READING | WRITING) != 0 {
                return false;
            }
            let new = header & !FLAGS;
            let result =
                self.header.compare_exchange(header, new, Ordering::SeqCst, Ordering::Relaxed);
            match result {
                Ok(_) => {
                    // On ARM, what is written to the page next could be seen before the change.
                    fence(Ordering::SeqCst);
                    return true;
                }
                Err(seen) => header = seen,
            }
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn an_entry_says_who_may_do_what() {
        let (header, frame) = (AtomicU32::new(0), AtomicU32::new(0));
        let entry = Entry { header: &header, frame: &frame };
        assert!(entry.is_empty());
        entry.begin(DomainId(0x7ff1), 0x12345, Access::ReadWrite);
        assert_eq!(header.load(Ordering::Relaxed), 0x7ff1_0001);
        assert_eq!(frame.load(Ordering::Relaxed), 0x12345);
        assert!(!entry.is_empty() && !entry.is_in_use());
        assert!(entry.end() && entry.is_empty());
        entry.begin(DomainId(0), 0x12345, Access::ReadOnly);
        assert_eq!(header.load(Ordering::Relaxed), 0x0000_0005);
    }

    proptest! {
        #[test]
        fn only_what_is_not_in_use_ends(value: u32) {
            let (header, frame) = (AtomicU32::new(value), AtomicU32::new(7));
            let entry = Entry { header: &header, frame: &frame };
            let is_in_use = value & 0x18 != 0;
            prop_assert_eq!(entry.is_in_use(), is_in_use);
            prop_assert_eq!(entry.end(), !is_in_use);
            let expected = if is_in_use { value } else { value & 0xffff_0000 };
            prop_assert_eq!(header.load(Ordering::Relaxed), expected);
            prop_assert_eq!(entry.is_empty(), expected & 0xffff == 0);
        }
    }
}
