//! How a disk comes to work: the nodes that both sides write (xen/include/public/io/blkif.h).

use alloc::boxed::Box;

use mayfly_device::{BlockDevice, BlockInfo, MIN_SECTOR_SIZE};

use super::{
    BlkFront, Connection, MAX_PAGES, SLOTS,
    wire::{LAYOUT, UNIT},
};
use crate::{
    Sharing,
    bus::{self, ConnectError, Connector, Line, Minder, Node, Offer, Seen, granted_ring},
    grants::DomainId,
    store::Store,
};

/// In `info`: writes fail (`VDISK_READONLY`).
const READ_ONLY: u32 = 4;

/// Connects the disk whose front end has this directory. The back end may take its time, and go and
/// come back later: it gets anew what it has not answered then. Returns the disk, and who is to watch
/// over it.
///
/// # Errors
/// [`ConnectError`]
pub async fn start(
    store: &Store,
    sharing: Sharing,
    front: &str,
) -> Result<(Box<dyn BlockDevice>, Minder), ConnectError> {
    let (info, session, minder) = bus::start(store, front, BlockConnector { sharing }).await?;
    Ok((Box::new(BlkFront::new(info, session)), minder))
}

/// How a disk connects.
struct BlockConnector {
    sharing: Sharing,
}

const SECTORS: Node = Node::Back("sectors");
const SECTOR_SIZE: Node = Node::Back("sector-size");
const FLAGS: Node = Node::Back("info");
const FLUSH: &str = "feature-flush-cache";
const DISCARD: &str = "feature-discard";

impl Connector for BlockConnector {
    type Info = BlockInfo;
    type Connection = Connection;

    const FEATURES: &'static [Node] = &[];
    // The back end only knows the disk when it is connected.
    const PROPERTIES: &'static [Node] =
        &[SECTORS, SECTOR_SIZE, FLAGS, Node::Back(FLUSH), Node::Back(DISCARD)];

    fn offer(
        &self,
        _: &Seen,
        domain: DomainId,
        line: &Line<Connection>,
        offer: &mut Offer,
    ) -> Result<Connection, ConnectError> {
        let entries = self.sharing.grants.reserve(SLOTS * MAX_PAGES + 1)?;
        let (ring, reference) = granted_ring(&entries, domain)?;
        let channel = self.sharing.events.alloc_unbound(domain)?;
        line.listen(&channel)?;
        offer.add("ring-ref", reference);
        offer.add("event-channel", channel.port().number());
        offer.add("protocol", LAYOUT);
        Ok(Connection { ring, domain, entries, channel })
    }

    fn finish(&self, seen: &Seen, _: &mut Connection) -> Result<BlockInfo, ConnectError> {
        const NO_SIZE: &str = "its back end does not say how large it is";
        const BAD_SECTOR_SIZE: &str = "its sectors have a size that cannot be";
        let sectors: u64 = seen.number(SECTORS).ok_or(ConnectError::Unsuitable(NO_SIZE))?;
        let sector_size: usize = seen.number(SECTOR_SIZE).unwrap_or(UNIT);
        let most = MAX_PAGES * mayfly_arch::PAGE_SIZE;
        if !sector_size.is_power_of_two() || !(MIN_SECTOR_SIZE..=most).contains(&sector_size) {
            return Err(ConnectError::Unsuitable(BAD_SECTOR_SIZE));
        }
        let flags: u32 = seen.number(FLAGS).unwrap_or(0);
        Ok(BlockInfo {
            sector_size,
            sectors: sectors / (sector_size / UNIT) as u64,
            read_only: flags & READ_ONLY != 0,
            max_sectors: most / sector_size,
            can_flush: seen.has_feature(FLUSH),
            can_discard: seen.has_feature(DISCARD),
        })
    }
}
