//! The page that both sides look at first, `struct vchan_interface` (libxenvchan.h).
//!
//! ```text
//!   byte 0    left:  cons, prod      what the client writes and the server reads
//!   byte 8    right: cons, prod      what the server writes and the client reads
//!   byte 16   left_order, right_order, two bytes each: 2^order bytes are in the ring
//!   byte 20   cli_live               0 closed, 1 connected, 2 not connected yet
//!   byte 21   srv_live               0 closed, 1 there
//!   byte 22   cli_notify             what the server asks the client for
//!   byte 23   srv_notify             what the client asks the server for
//!   byte 24   grants, four bytes each: the pages of left, then those of right
//! ```
//!
//! A ring of order 10 or 11 is in the same page, right behind as many bytes as it has; larger ones
//! are in pages of their own.

use mayfly_arch::PAGE_SIZE;

/// Offsets of words, from that of the ring's indices.
pub(super) const CONSUMER: usize = 0;
pub(super) const PRODUCER: usize = 4;
/// Where the indices are of what the client writes, and of what the server writes.
pub(super) const LEFT: usize = 0;
pub(super) const RIGHT: usize = 8;
/// The word of both orders.
pub(super) const ORDERS: usize = 16;
/// Bytes.
pub(super) const CLIENT_LIVE: usize = 20;
pub(super) const SERVER_LIVE: usize = 21;
pub(super) const CLIENT_NOTIFY: usize = 22;
pub(super) const SERVER_NOTIFY: usize = 23;
/// The word of the first grant.
pub(super) const GRANTS: usize = 24;

/// What is in a live byte.
pub(super) const CLOSED: u8 = 0;
pub(super) const CONNECTED: u8 = 1;
pub(super) const AWAITED: u8 = 2;

/// The orders of rings within the page.
const SMALL: u8 = 10;
const MEDIUM: u8 = 11;
/// The order of a page.
const PAGE: u8 = PAGE_SIZE.ilog2() as u8;
/// The largest order, as libxenvchan has it.
const LARGEST: u8 = 20;

/// The sizes of both rings, as powers of two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Orders {
    pub(super) left: u8,
    pub(super) right: u8,
}

/// Where a ring is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Location {
    /// In the first page, from this byte on.
    Inside(usize),
    /// In so many pages of its own.
    Pages(usize),
}

/// Where a ring of this order is.
pub(super) fn location(order: u8) -> Location {
    match order.checked_sub(PAGE) {
        Some(pages) => Location::Pages(1 << pages),
        None => Location::Inside(1 << order),
    }
}

fn pages(order: u8) -> usize {
    match location(order) {
        Location::Inside(_) => 0,
        Location::Pages(count) => count,
    }
}

/// The order of a ring with pages of its own for at least so many bytes.
fn large(size: usize) -> Option<u8> {
    (PAGE..=LARGEST).find(|order| size <= 1 << order)
}

impl Orders {
    /// Rings for at least so many bytes, within the page where that is possible: the same choice as
    /// libxenvchan's. `None` if they would be too large.
    pub(super) fn for_sizes(left: usize, right: usize) -> Option<Self> {
        const SMALL_SIZE: usize = 1 << SMALL;
        const MEDIUM_SIZE: usize = 1 << MEDIUM;
        Some(match (left, right) {
            (0..=SMALL_SIZE, 0..=MEDIUM_SIZE) => Self { left: SMALL, right: MEDIUM },
            (0..=MEDIUM_SIZE, 0..=SMALL_SIZE) => Self { left: MEDIUM, right: SMALL },
            (0..=MEDIUM_SIZE, _) => Self { left: MEDIUM, right: large(right)? },
            (_, 0..=MEDIUM_SIZE) => Self { left: large(left)?, right: MEDIUM },
            _ => Self { left: large(left)?, right: large(right)? },
        })
    }

    /// What the word of a page says. `None` if there can be no such rings: unknown sizes, or
    /// two things at the same place.
    pub(super) fn from_word(word: u32) -> Option<Self> {
        let order = |half: u32| {
            let order = u8::try_from(half & 0xffff).ok()?;
            (SMALL..=LARGEST).contains(&order).then_some(order)
        };
        let orders = Self { left: order(word)?, right: order(word >> 16)? };
        let starts = [orders.left, orders.right].map(|order| match location(order) {
            Location::Inside(start) => start,
            Location::Pages(_) => PAGE_SIZE,
        });
        let is_apart = starts[0] != starts[1] || starts[0] == PAGE_SIZE;
        let grants_end = GRANTS + 4 * orders.grants();
        (is_apart && starts.iter().all(|start| grants_end <= *start)).then_some(orders)
    }

    pub(super) fn to_word(self) -> u32 {
        u32::from(self.left) | u32::from(self.right) << 16
    }

    /// How many pages both rings have besides the first.
    pub(super) fn grants(self) -> usize {
        pages(self.left) + pages(self.right)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn sizes_are_chosen_as_libxenvchan_does() {
        for (sizes, orders) in [
            ((0, 0), (10, 11)),
            ((1024, 2048), (10, 11)),
            ((2048, 1024), (11, 10)),
            ((1025, 1025), (11, 12)),
            ((2048, 2048), (11, 12)),
            ((0, 5000), (11, 13)),
            ((5000, 0), (13, 11)),
            ((65536, 65537), (16, 17)),
            ((1 << 20, 1 << 20), (20, 20)),
        ] {
            let (left, right) = orders;
            assert_eq!(Orders::for_sizes(sizes.0, sizes.1), Some(Orders { left, right }));
        }
        assert_eq!(Orders::for_sizes(0, (1 << 20) + 1), None);
        assert_eq!(Orders::for_sizes(usize::MAX, 5000), None);
    }

    #[test]
    fn rings_that_lie_on_each_other_are_refused() {
        let word = |left: u32, right: u32| Orders::from_word(left | right << 16);
        for (left, right) in [(10, 10), (11, 11), (9, 12), (12, 21), (0, 0), (10, 266), (266, 10)] {
            assert_eq!(word(left, right), None, "{left} {right}");
        }
        // 256 grants reach into a ring at 1024, but not into one at 2048.
        assert_eq!(word(20, 10), None);
        assert_eq!(word(20, 11), Some(Orders { left: 20, right: 11 }));
        assert_eq!(word(19, 10), Some(Orders { left: 19, right: 10 }));
        assert_eq!(word(12, 12), Some(Orders { left: 12, right: 12 }));
    }

    proptest! {
        #[test]
        fn what_is_chosen_can_be(left in 0_usize..1 << 21, right in 0_usize..1 << 21) {
            let orders = Orders::for_sizes(left, right);
            prop_assert_eq!(orders.is_some(), left.max(right) <= 1 << 20);
            if let Some(orders) = orders {
                prop_assert_eq!(Orders::from_word(orders.to_word()), Some(orders));
                prop_assert!(left <= 1 << orders.left && right <= 1 << orders.right);
            }
        }

        #[test]
        fn what_is_read_fits(word: u32) {
            if let Some(orders) = Orders::from_word(word) {
                prop_assert_eq!(orders.to_word(), word);
                prop_assert!(GRANTS + 4 * orders.grants() <= PAGE_SIZE);
            }
        }
    }
}
