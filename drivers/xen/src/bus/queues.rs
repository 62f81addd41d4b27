//! Several queues of one device: how many there are, and where their nodes are (xen/include/public/io,
//! netif.h and blkif.h, "Multi-queue").

use alloc::{format, string::String, vec::Vec};

use super::{ConnectError, Node, Offer, Seen};

/// Most queues of a device.
pub(crate) const MAX_QUEUES: usize = 8;
/// How many the back end can do with. It is one of the features that a connector of such a device
/// wants to see.
pub(crate) const QUEUES_OFFERED: Node = Node::Back("multi-queue-max-queues");

/// Sets up as many queues as the back end offers, but at most `most`, by `set_up`, which writes its
/// nodes under a prefix. A back end that knows of several finds each in a directory of its own, and a
/// single one where it always was.
pub(crate) fn queues<Q>(
    seen: &Seen,
    most: usize,
    offer: &mut Offer,
    mut set_up: impl FnMut(&str, &mut Offer) -> Result<Q, ConnectError>,
) -> Result<Vec<Q>, ConnectError> {
    let offered: Option<usize> = seen.number(QUEUES_OFFERED);
    let count = offered.unwrap_or(1).clamp(1, most);
    // There may have been more the last time.
    if offered.is_some() || most > 1 {
        offer.add("multi-queue-num-queues", count);
    }
    let prefix = |index| match count {
        1 => String::new(),
        _ => format!("queue-{index}/"),
    };
    (0..count).map(|index| set_up(&prefix(index), offer)).collect()
}
