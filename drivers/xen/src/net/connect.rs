//! How a network card comes to work: the nodes that both sides write (xen/include/public/io/netif.h).

use alloc::{boxed::Box, rc::Rc};

use mayfly_device::{Checksums, FramePool, NetDevice, NetInfo, PagePool, is_unicast};

use super::{
    Connection, NetFront,
    receive::{self, Receiver},
    transmit::{self, Transmitter},
};
use crate::{
    Sharing,
    bus::{self, ConnectError, Connector, Line, Minder, Node, Offer, Seen, granted_ring},
    grants::DomainId,
    store::Store,
};

/// Bytes in a buffer for a frame to be sent: two fill a page.
const BUFFER_SIZE: usize = 2048;
/// Most of them: those under way, and as many for what the stack holds.
const MAX_BUFFERS: usize = 2 * transmit::SLOTS;
/// Most pages for received frames: those in the ring, and twice as many for what the stack holds.
const MAX_PAGES: usize = 3 * receive::SLOTS;
/// The IP packet of Ethernet, where the tools say nothing.
const USUAL_MTU: usize = 1500;
/// Shortest MTU with which there is IPv4 (RFC 791).
const MIN_MTU: usize = 68;
const ETHERNET_HEADER: usize = 14;

const NO_ADDRESS: &str = "its `mac` in XenStore is no Ethernet address";

/// Connects the card whose front end has this directory. The back end may take its time, and go and
/// come back later: frames that are under way then are lost. Returns the card, and who is to watch
/// over it.
///
/// # Errors
/// [`ConnectError`]
pub async fn start(
    store: &Store,
    sharing: Sharing,
    front: &str,
) -> Result<(Box<dyn NetDevice>, Minder), ConnectError> {
    let pages: Rc<dyn FramePool> = Rc::new(PagePool::new(mayfly_arch::PAGE_SIZE, MAX_PAGES));
    let connector = NetConnector { sharing, pages };
    let (info, session, minder) = bus::start(store, front, connector).await?;
    let device = NetFront {
        info,
        pool: Rc::new(PagePool::new(BUFFER_SIZE, MAX_BUFFERS)),
        session,
        wants_room: false,
    };
    Ok((Box::new(device), minder))
}

/// How a card connects.
struct NetConnector {
    sharing: Sharing,
    /// For received frames.
    pages: Rc<dyn FramePool>,
}

const MAC: Node = Node::Front("mac");
const MTU: Node = Node::Front("mtu");
const RX_COPY: &str = "feature-rx-copy";
const IPV6_CHECKSUMS: &str = "feature-ipv6-csum-offload";

impl Connector for NetConnector {
    type Info = NetInfo;
    type Connection = Connection;

    const FEATURES: &'static [Node] = &[MAC, MTU, Node::Back(RX_COPY), Node::Back(IPV6_CHECKSUMS)];
    const PROPERTIES: &'static [Node] = &[];

    fn offer(
        &self,
        features: &Seen,
        domain: DomainId,
        line: &Line<Connection>,
        offer: &mut Offer,
    ) -> Result<Connection, ConnectError> {
        let checksums = info(features)?.checksums.on_transmit;
        let count = transmit::SLOTS + receive::SLOTS + 2;
        let entries = Rc::new(self.sharing.grants.reserve(count)?);
        let (transmit_ring, transmit_reference) = granted_ring(&entries, domain)?;
        let (receive_ring, receive_reference) = granted_ring(&entries, domain)?;
        let channel = self.sharing.events.alloc_unbound(domain)?;
        line.listen(&channel)?;
        offer.add("tx-ring-ref", transmit_reference);
        offer.add("rx-ring-ref", receive_reference);
        offer.add("event-channel", channel.port().number());
        offer.add("request-rx-copy", 1);
        // Otherwise netback looks for pages 30 times a second.
        offer.add("feature-rx-notify", 1);
        // IPv6 without checksums is taken, too.
        offer.add(IPV6_CHECKSUMS, 1);
        let pages = Rc::clone(&self.pages);
        Ok(Connection {
            transmit: Transmitter::new(transmit_ring, domain, Rc::clone(&entries), checksums),
            receive: Receiver::new(receive_ring, domain, entries, pages),
            channel,
        })
    }

    fn finish(&self, seen: &Seen, connection: &mut Connection) -> Result<NetInfo, ConnectError> {
        connection.tell();
        info(seen)
    }
}

/// What the card is.
fn info(seen: &Seen) -> Result<NetInfo, ConnectError> {
    if !seen.has_feature(RX_COPY) {
        return Err(ConnectError::Unsuitable("its back end does not offer feature-rx-copy"));
    }
    let mac = seen.text(MAC).and_then(parse_mac);
    // Frames have to fit their buffers.
    let mtu = seen.number(MTU).unwrap_or(USUAL_MTU).clamp(MIN_MTU, BUFFER_SIZE - ETHERNET_HEADER);
    // That it takes IPv4 without checksums goes without saying.
    let checksums = Checksums { on_transmit: seen.has_feature(IPV6_CHECKSUMS), on_receive: true };
    Ok(NetInfo {
        mac: mac.ok_or(ConnectError::Unsuitable(NO_ADDRESS))?,
        mtu,
        headroom: 0,
        checksums,
    })
}

/// Six hexadecimal numbers with colons between them, which are the address of one card.
fn parse_mac(text: &str) -> Option<[u8; 6]> {
    let mut mac = [0; 6];
    let mut parts = text.trim().split(':');
    for byte in &mut mac {
        let is_number = |part: &&str| part.len() == 2 && !part.starts_with('+');
        *byte = u8::from_str_radix(parts.next().filter(is_number)?, 16).ok()?;
    }
    (parts.next().is_none() && is_unicast(mac)).then_some(mac)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_or_refused() {
        assert_eq!(parse_mac("00:16:3e:0a:FF:01"), Some([0, 0x16, 0x3e, 0x0a, 0xff, 1]));
        for text in [
            "",
            "00:16:3e:0a:ff",
            "00:16:3e:0a:ff:01:02",
            "0:16:3e:0a:ff:1",
            "+0:16:3e:0a:ff:01",
            "01:16:3e:0a:ff:01",
            "ff:ff:ff:ff:ff:ff",
            "00:00:00:00:00:00",
        ] {
            assert_eq!(parse_mac(text), None, "{text}");
        }
    }
}
