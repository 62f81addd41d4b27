//! How a network card comes to work: the nodes that both sides write (xen/include/public/io/netif.h).

use alloc::{boxed::Box, rc::Rc, vec::Vec};
use core::cell::Cell;

use mayfly_arch::PAGE_SIZE;
use mayfly_device::{Checksums, FramePool, NetDevice, NetInfo, PagePool, Segmentation, is_unicast};

use super::{CardInfo, Connection, NetFront, groups::Groups, queue::Plan, receive};
use crate::{
    Sharing,
    bus::{
        self, ConnectError, Connector, Line, MAX_QUEUES, Node, Offer, QUEUES_OFFERED, Seen,
        Session, Starting, queues,
    },
    grants::{DomainId, GrantTable},
    store::Store,
};

/// Bytes in a buffer for a frame to be sent, unless frames are longer: two fill a page.
const BUFFER_SIZE: usize = 2048;
/// Frames, or parts of frames, that may be under way: half of what the ring has room for, if frames
/// can have several.
const TRANSMIT_SLOTS: usize = 64;
const TRANSMIT_SLOTS_FOR_LONG: usize = 128;
/// Most buffers: those under way, and as many for what the stack holds.
const MAX_BUFFERS: usize = 2 * TRANSMIT_SLOTS;
/// Bytes in a buffer for a TCP packet that others cut into segments, and how many there may be.
const LARGE_BUFFER_SIZE: usize = 65_536;
const MAX_LARGE_BUFFERS: usize = 16;
/// Longest frame that a request can be about.
const LONGEST: usize = 65_535;
/// Most pages for received frames of a queue: those in the ring, and as many for what the stack
/// holds.
const MAX_PAGES: usize = 2 * receive::SLOTS;
/// How many of them may hold datagrams that nobody has read. As many again are for those that the app
/// has taken.
const SPARE_PAGES: usize = MAX_PAGES / 4;
/// The IP packet of Ethernet, where the tools say nothing.
const USUAL_MTU: usize = 1500;
/// Shortest MTU with which there is IPv4 (RFC 791), and the longest that is in use.
const MIN_MTU: usize = 68;
const MAX_MTU: usize = 9000;
const ETHERNET_HEADER: usize = 14;

const NO_ADDRESS: &str = "its `mac` in XenStore is no Ethernet address";

/// Connects the card whose front end has this directory. The back end may take its time, and go and
/// come back later: frames that are under way then are lost. It has `queues` queues, or as many as
/// its back end offers. Returns the card, and who is to watch over it.
///
/// # Errors
/// [`ConnectError`]
pub fn start<'a>(
    store: &'a Store,
    sharing: Sharing,
    front: &'a str,
    queues: usize,
) -> Starting<'a, dyn NetDevice> {
    let queues = queues.clamp(1, MAX_QUEUES);
    let pages: Rc<dyn FramePool> = Rc::new(PagePool::new(PAGE_SIZE, MAX_PAGES * queues));
    let carrier = Rc::new(Cell::new(true));
    let connector = NetConnector { sharing, pages, queues, carrier: Rc::clone(&carrier) };
    Box::pin(async move {
        let (info, session, minder) = bus::start(store, front, connector).await?;
        Ok((Box::new(card(info, session, carrier)) as _, minder))
    })
}

/// A card, with memory for its frames.
fn card(info: CardInfo, session: Session<Connection>, carrier: Rc<Cell<bool>>) -> NetFront {
    let size = (ETHERNET_HEADER + info.net.mtu).next_power_of_two().max(BUFFER_SIZE);
    let large_pool = (info.segmentation != Segmentation::default())
        .then(|| Rc::new(PagePool::new(LARGE_BUFFER_SIZE, MAX_LARGE_BUFFERS)) as _);
    let pool = Rc::new(PagePool::new(size, MAX_BUFFERS));
    let groups = Vec::new();
    let (wants_room, is_up, change) = (false, true, None);
    NetFront { info, pool, large_pool, session, wants_room, carrier, is_up, change, groups }
}

/// How a card connects.
struct NetConnector {
    sharing: Sharing,
    /// For received frames.
    pages: Rc<dyn FramePool>,
    /// Most of them.
    queues: usize,
    /// See [`NetFront`].
    carrier: Rc<Cell<bool>>,
}

impl NetConnector {
    /// Sets up the queues.
    fn queues(
        &self,
        features: &Seen,
        plan: &Plan<'_>,
        offer: &mut Offer,
    ) -> Result<Connection, ConnectError> {
        let queues =
            queues(features, self.queues, offer, |prefix, offer| plan.carry_out(prefix, offer))?;
        let groups = features.has_feature(GROUPS).then(Groups::default);
        Ok(Connection { queues, turn: 0, groups })
    }
}

const MAC: Node = Node::Front("mac");
const MTU: Node = Node::Front("mtu");
/// "0" without a link; without the node, there is one ("Link state" in io/netif.h).
const CARRIER: Node = Node::Back("carrier");
const RX_COPY: &str = "feature-rx-copy";
const IPV6_CHECKSUMS: &str = "feature-ipv6-csum-offload";
const SCATTER: &str = "feature-sg";
const SEGMENTS_IPV4: &str = "feature-gso-tcpv4";
const SEGMENTS_IPV6: &str = "feature-gso-tcpv6";
const SPLIT: &str = "feature-split-event-channels";
const GROUPS: &str = "feature-multicast-control";

impl Connector for NetConnector {
    type Info = CardInfo;
    type Connection = Connection;

    const FEATURES: &'static [Node] = &[
        MAC,
        MTU,
        Node::Back(RX_COPY),
        Node::Back(IPV6_CHECKSUMS),
        Node::Back(SCATTER),
        Node::Back(SEGMENTS_IPV4),
        Node::Back(SEGMENTS_IPV6),
        Node::Back(SPLIT),
        Node::Back(GROUPS),
        QUEUES_OFFERED,
    ];
    const PROPERTIES: &'static [Node] = &[];
    const LIVE: Option<Node> = Some(CARRIER);

    fn heed(&self, value: Option<&str>) {
        self.carrier.set(value != Some("0"));
    }

    fn grants(&self) -> &'static GrantTable {
        self.sharing.grants
    }

    fn offer(
        &self,
        features: &Seen,
        domain: DomainId,
        line: &Line<Connection>,
        offer: &mut Offer,
    ) -> Result<Connection, ConnectError> {
        let info = info(features, self.queues)?;
        let slots = if info.pages > 1 { TRANSMIT_SLOTS_FOR_LONG } else { TRANSMIT_SLOTS };
        let plan = Plan {
            sharing: self.sharing,
            domain,
            line,
            pages: &self.pages,
            limits: (slots, info.pages),
            checksums: info.net.checksums.on_transmit,
            splits: features.has_feature(SPLIT),
        };
        let mut connection = self.queues(features, &plan, offer)?;
        offer.add("request-rx-copy", 1);
        // What goes to groups comes as far as it was asked for, if the back end can do that.
        offer.add("request-multicast-control", u8::from(connection.groups.is_some()));
        // Otherwise netback looks for pages 30 times a second.
        offer.add("feature-rx-notify", 1);
        // IPv6 without checksums is taken, too.
        offer.add(IPV6_CHECKSUMS, 1);
        // Frames on several pages are, and so are TCP packets that nobody has cut into segments.
        offer.add(SCATTER, 1);
        // It may have been otherwise the last time.
        let takes_long = u8::from(connection.takes_long());
        offer.add(SEGMENTS_IPV4, takes_long);
        offer.add(SEGMENTS_IPV6, takes_long);
        Ok(connection)
    }

    fn finish(&self, seen: &Seen, connection: &mut Connection) -> Result<CardInfo, ConnectError> {
        connection.tell();
        info(seen, self.queues)
    }
}

/// What the card is, whose pages are for so many queues.
fn info(seen: &Seen, queues: usize) -> Result<CardInfo, ConnectError> {
    if !seen.has_feature(RX_COPY) {
        return Err(ConnectError::Unsuitable("its back end does not offer feature-rx-copy"));
    }
    let mac = seen.text(MAC).and_then(parse_mac).ok_or(ConnectError::Unsuitable(NO_ADDRESS))?;
    let [scatters, on_transmit] = [SCATTER, IPV6_CHECKSUMS].map(|name| seen.has_feature(name));
    // Frames have to fit their buffers, and a page if the back end takes no more.
    let max = if scatters { MAX_MTU } else { BUFFER_SIZE - ETHERNET_HEADER };
    let mtu = seen.number(MTU).unwrap_or(USUAL_MTU).clamp(MIN_MTU, max);
    // That it takes IPv4 without checksums goes without saying.
    let checksums = Checksums { on_transmit, on_receive: true };
    let spare_buffers = SPARE_PAGES * queues;
    let net = NetInfo { mac, mtu, headroom: 0, checksums, spare_buffers };
    let [tcp_ipv4, tcp_ipv6] = [SEGMENTS_IPV4, SEGMENTS_IPV6]
        .map(|name| if scatters && on_transmit && seen.has_feature(name) { LONGEST } else { 0 });
    let segmentation = Segmentation { tcp_ipv4, tcp_ipv6 };
    let longest = match segmentation == Segmentation::default() {
        true => ETHERNET_HEADER + mtu,
        false => LONGEST,
    };
    Ok(CardInfo { net, segmentation, pages: longest.div_ceil(PAGE_SIZE) })
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
