//! What other domains may do, told by bytes: for the fuzz targets of `fuzz`, and for property tests,
//! which run on stable.
//!
//! Each function acts on the fakes what the bytes say, and panics if something is not as it must be:
//! the guest stands still or never comes to rest, or does not have again what it had.

extern crate std;

mod block;
mod keys;
mod net;

pub use self::{block::block, keys::keys, net::net};
pub use crate::{console::fuzz::console, store::fuzz::store, vchan::fuzz::vchan};

use core::time::Duration;
use std::boxed::Box;

use crate::{bus, fake::Guest};

/// Entries of the grant table that no test needs more of at a time.
const ENTRIES: usize = 1600;

/// Bytes that are taken one after the other; zeros follow the last.
pub(crate) struct Script<'a>(pub(crate) &'a [u8]);

impl Script<'_> {
    /// Whether there is more.
    pub(crate) fn has_more(&self) -> bool {
        !self.0.is_empty()
    }

    pub(crate) fn bytes(&mut self, count: usize) -> &[u8] {
        let (bytes, rest) = self.0.split_at(count.min(self.0.len()));
        self.0 = rest;
        bytes
    }

    fn number<const N: usize>(&mut self) -> [u8; N] {
        let bytes = self.bytes(N);
        core::array::from_fn(|index| bytes.get(index).copied().unwrap_or(0))
    }

    pub(crate) fn byte(&mut self) -> u8 {
        u8::from_le_bytes(self.number())
    }

    pub(crate) fn flag(&mut self) -> bool {
        self.byte() & 1 == 0
    }

    pub(crate) fn short(&mut self) -> u16 {
        u16::from_le_bytes(self.number())
    }

    pub(crate) fn word(&mut self) -> u32 {
        u32::from_le_bytes(self.number())
    }

    /// A word that is small as a rule, for there is little else that is not refused at once.
    pub(crate) fn index(&mut self) -> u32 {
        match self.byte() {
            255 => self.word(),
            small => small.into(),
        }
    }
}

/// Has `play` act on a guest, who must have as much afterwards as before. It is the same guest each
/// time, since what it shares with Xen stays for good.
pub(crate) fn with_guest(play: impl FnOnce(&'static Guest)) {
    std::thread_local! {
        static GUEST: &'static Guest = Box::leak(Box::new(Guest::new()));
    }
    let guest = GUEST.with(|guest| *guest);
    drop(guest.sharing.grants.reserve(ENTRIES));
    let before = guest.resources();
    play(guest);
    drop(guest.take_tasks());
    bus::clear_left_behind();
    // Nobody waits for the clock any more, either.
    guest.elapse(Duration::ZERO);
    assert_eq!(guest.resources(), before, "something is lost");
    assert_eq!(guest.bench.in_use(), (0, 0), "XenStore keeps a watch or a transaction");
}

#[cfg(test)]
mod tests {
    use std::vec::Vec;

    use proptest::prelude::*;

    use super::*;

    fn script() -> impl Strategy<Value = Vec<u8>> {
        // Steps are chosen by small numbers, and so are most indices.
        let byte = prop_oneof![3 => 0..12_u8, 1 => any::<u8>()];
        prop::collection::vec(byte, 0..400)
    }

    proptest! {
        #[test]
        fn no_card_does_harm(script in script()) {
            net(&script);
        }

        #[test]
        fn no_disk_does_harm(script in script()) {
            block(&script);
        }

        #[test]
        fn no_nodes_do_harm(script in script()) {
            keys(&script);
        }

        #[test]
        fn no_other_end_of_a_channel_does_harm(script in script()) {
            vchan(&script);
        }

        #[test]
        fn no_console_does_harm(script in script()) {
            console(&script);
        }

        #[test]
        fn no_store_does_harm(script in script()) {
            store(&script);
        }
    }
}
