//! How a disk comes to work: the nodes that both sides write (xen/include/public/io/blkif.h).

use alloc::{boxed::Box, format, vec::Vec};

use mayfly_arch::PAGE_SIZE;
use mayfly_device::{BlockDevice, BlockInfo, MIN_SECTOR_SIZE};

use super::{
    BlkFront, MAX_PAGES,
    connection::{Connection, Offers},
    pool::Pool,
    queue::Queue,
    wire::{LAYOUT, MAX_DESCRIBED, MAX_SEGMENTS, UNIT},
};
use crate::{
    Sharing,
    bus::{
        self, ConnectError, Connector, Line, MAX_QUEUES, Node, Offer, QUEUES_OFFERED, Seen,
        Starting, large_ring, queues,
    },
    grants::{DomainId, GrantTable},
    store::Store,
};

/// In `info`: the disk is a CD (`VDISK_CDROM`) or can be taken out otherwise (`VDISK_REMOVABLE`),
/// and writes fail (`VDISK_READONLY`).
const REMOVABLE: u32 = 1 | 2;
const READ_ONLY: u32 = 4;

/// How many of the largest requests can have their data granted at a time.
const LARGEST_AT_ONCE: usize = 4;
/// Most pages of the ring, as a power of two: 4, which have 128 entries.
const MOST_ORDER: u32 = 2;

/// Connects the disk whose front end has this directory. The back end may take its time, and go and
/// come back later: it gets anew what it has not answered then. If it wants to keep pages mapped,
/// `budget` pages of memory may be spent on that. The disk has `queues` queues, or as many as the
/// back end offers. Returns the disk, and who is to watch over it.
///
/// # Errors
/// [`ConnectError`]
pub fn start<'a>(
    store: &'a Store,
    sharing: Sharing,
    front: &'a str,
    budget: usize,
    queues: usize,
) -> Starting<'a, dyn BlockDevice> {
    let queues = queues.clamp(1, MAX_QUEUES);
    let connector = BlockConnector { sharing, budget, queues };
    Box::pin(async move {
        let (mut info, mut session, minder) = bus::start(store, front, connector).await?;
        if let Some(connection) = session.connection() {
            info.can_discard = connection.offers.discard;
        }
        Ok((Box::new(BlkFront::new(info, session)) as _, minder))
    })
}

/// How a disk connects.
struct BlockConnector {
    sharing: Sharing,
    /// Most pages that stay granted.
    budget: usize,
    /// Most queues.
    queues: usize,
}

impl BlockConnector {
    /// Sets up the queues.
    fn queues(
        &self,
        seen: &Seen,
        domain: DomainId,
        line: &Line<Connection>,
        offer: &mut Offer,
    ) -> Result<Vec<Queue>, ConnectError> {
        let order = seen.number(ORDER).unwrap_or(0).min(MOST_ORDER);
        offer.add("ring-page-order", order);
        queues(seen, self.queues, offer, |prefix, offer| {
            self.queue(1 << order, domain, line, prefix, offer)
        })
    }

    /// Sets up a queue with so many pages, and says so under `prefix` of the front end's directory.
    fn queue(
        &self,
        pages: usize,
        domain: DomainId,
        line: &Line<Connection>,
        prefix: &str,
        offer: &mut Offer,
    ) -> Result<Queue, ConnectError> {
        let (ring, references) = large_ring(&self.sharing.grants.reserve(pages)?, domain, pages)?;
        let channel = self.sharing.events.alloc_unbound(domain)?;
        line.listen(&channel)?;
        // Both ways to tell of a single page: a back end that went away may have been told of more.
        for (index, reference) in references.iter().enumerate() {
            offer.add(&format!("{prefix}ring-ref{index}"), reference.0);
            if pages == 1 {
                offer.add(&format!("{prefix}ring-ref"), reference.0);
            }
        }
        offer.add(&format!("{prefix}event-channel"), channel.port().number());
        let pool = || Pool::new(self.most_pages(), self.share());
        Ok(Queue::new(ring, channel, self.can_persist().then(pool).flatten()))
    }

    /// Most pages that stay granted for a queue.
    fn share(&self) -> usize {
        self.budget / self.queues
    }

    /// Whether that is enough.
    fn can_persist(&self) -> bool {
        self.share() >= 2 * MAX_SEGMENTS
    }

    /// Most pages of data in a request of the kernel: pages that stay granted are enough for two.
    fn most_pages(&self) -> usize {
        if self.can_persist() { MAX_PAGES.min(1 << (self.share() / 2).ilog2()) } else { MAX_PAGES }
    }
}

const SECTORS: Node = Node::Back("sectors");
const SECTOR_SIZE: Node = Node::Back("sector-size");
const FLAGS: Node = Node::Back("info");
const FLUSH: &str = "feature-flush-cache";
const PERSISTENT: &str = "feature-persistent";
const BARRIER: &str = "feature-barrier";
const DISCARD: &str = "feature-discard";
/// The base-2 logarithm of the pages that a ring may have.
const ORDER: Node = Node::Back("max-ring-page-order");
const INDIRECT: Node = Node::Back("feature-max-indirect-segments");

impl Connector for BlockConnector {
    type Info = BlockInfo;
    type Connection = Connection;

    const FEATURES: &'static [Node] = &[ORDER, QUEUES_OFFERED];
    // The back end only knows the disk when it is connected.
    const PROPERTIES: &'static [Node] = &[
        SECTORS,
        SECTOR_SIZE,
        FLAGS,
        Node::Back(FLUSH),
        Node::Back(BARRIER),
        Node::Back(PERSISTENT),
        Node::Back(DISCARD),
        INDIRECT,
    ];

    fn grants(&self) -> &'static GrantTable {
        self.sharing.grants
    }

    fn offer(
        &self,
        seen: &Seen,
        domain: DomainId,
        line: &Line<Connection>,
        offer: &mut Offer,
    ) -> Result<Connection, ConnectError> {
        let queues = self.queues(seen, domain, line, offer)?;
        offer.add("protocol", LAYOUT);
        // How many entries data takes is known when it has connected.
        let entries = self.sharing.grants.reserve(0)?;
        let connection = Connection::new(queues, domain, entries);
        offer.add(PERSISTENT, u8::from(connection.can_persist()));
        Ok(connection)
    }

    fn finish(&self, seen: &Seen, connection: &mut Connection) -> Result<BlockInfo, ConnectError> {
        let info = info(seen, self.most_pages())?;
        let pages = seen.number(INDIRECT).unwrap_or(0_usize);
        let pages = pages.clamp(MAX_SEGMENTS, MAX_PAGES.min(MAX_DESCRIBED));
        // A part has whole sectors, which may have several pages each.
        let pages = pages - pages % info.sector_size.div_ceil(PAGE_SIZE);
        if pages == 0 {
            return Err(ConnectError::Unsuitable(LARGE_SECTORS));
        }
        // Data, for as much as goes through one of the rings, and a page of descriptors for each
        // entry of all of them.
        let (slots, each) = connection.slots();
        let data = (each * MAX_SEGMENTS).max(LARGEST_AT_ONCE * pages);
        connection.entries = self.sharing.grants.reserve(data + slots)?;
        connection.offers = Offers {
            pages,
            flush: seen.has_feature(FLUSH),
            barrier: seen.has_feature(BARRIER),
            discard: seen.has_feature(DISCARD),
            persistent: seen.has_feature(PERSISTENT) && connection.can_persist(),
        };
        if !connection.offers.persistent {
            connection.drop_pools();
        }
        Ok(info)
    }
}

/// Why a disk is of no use.
const NO_SIZE: &str = "its back end does not say how large it is";
const BAD_SECTOR_SIZE: &str = "its sectors have a size that cannot be";
const LARGE_SECTORS: &str = "a sector of it does not fit into a request";

/// What the disk is. What its back end can do is another matter: it may come back and be able to do
/// more or less.
fn info(seen: &Seen, pages: usize) -> Result<BlockInfo, ConnectError> {
    let sectors: u64 = seen.number(SECTORS).ok_or(ConnectError::Unsuitable(NO_SIZE))?;
    // What is no number, or too large a one for this processor, must not pass for the usual size.
    let sector_size = seen.text(SECTOR_SIZE).map_or(UNIT, |size| size.parse().unwrap_or(0));
    let most = pages * PAGE_SIZE;
    if !sector_size.is_power_of_two() || !(MIN_SECTOR_SIZE..=most).contains(&sector_size) {
        return Err(ConnectError::Unsuitable(BAD_SECTOR_SIZE));
    }
    let flags: u32 = seen.number(FLAGS).unwrap_or(0);
    Ok(BlockInfo {
        sector_size,
        sectors: sectors / (sector_size / UNIT) as u64,
        read_only: flags & READ_ONLY != 0,
        removable: flags & REMOVABLE != 0,
        max_sectors: most / sector_size,
        // A back end without a cache may come back with one. What there is nothing to do for is
        // answered at once.
        can_flush: true,
        can_discard: false,
    })
}
