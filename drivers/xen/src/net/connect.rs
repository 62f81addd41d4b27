//! How a network card comes to work: the nodes that both sides write (xen/include/public/io/netif.h).

use alloc::{
    boxed::Box,
    rc::Rc,
    string::{String, ToString},
    sync::Arc,
};
use core::{cell::Cell, fmt};

use mayfly_device::{Checksums, FramePool, InterruptHandler, NetDevice, NetInfo, PagePool, Signal};

use super::{
    NetFront, ReadyRing,
    receive::{self, Receiver},
    transmit::{self, Transmitter},
};
use crate::{
    Sharing, XenError,
    bus::{BusError, Connected, Frontend, Link},
    front_ring::FrontRing,
    grants::{Access, DomainId, GrantError, Reservation},
    shared_page::HeapPage,
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

/// Why a network card cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum NetError {
    /// The back end is not there, or does not want.
    Bus(BusError),
    /// The back end cannot copy frames to the guest, which all do that are less than ten years old.
    NoCopy,
    /// The card has no Ethernet address.
    NoAddress,
    /// There are no grants for it.
    Grants(GrantError),
    /// There is no event channel for it.
    Events(XenError),
    /// There is no memory for it.
    OutOfMemory,
}

impl<E: Into<BusError>> From<E> for NetError {
    fn from(error: E) -> Self {
        Self::Bus(error.into())
    }
}

impl fmt::Display for NetError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bus(error) => error.fmt(f),
            Self::NoCopy => f.write_str("its back end does not offer feature-rx-copy"),
            Self::NoAddress => f.write_str("its `mac` in XenStore is no Ethernet address"),
            Self::Grants(error) => error.fmt(f),
            Self::Events(error) => error.fmt(f),
            Self::OutOfMemory => f.write_str("there is no memory for it; give the guest more"),
        }
    }
}

impl core::error::Error for NetError {}

/// Watches over a card: see [`run`](Self::run).
pub struct Minder {
    frontend: Frontend<Connected>,
    is_connected: Rc<Cell<bool>>,
    line: Arc<Line>,
}

impl Minder {
    /// Tells the card when its back end goes away. Ends then, with the reason.
    pub async fn run(mut self) -> BusError {
        let reason = self.frontend.lost().await.unwrap_or_else(|error| error);
        self.is_connected.set(false);
        self.line.0.raise();
        // If the store does not answer either, there is nothing more to be done.
        let _ = self.frontend.close().await;
        reason
    }
}

/// From the event channel to the task.
pub(super) struct Line(pub(super) Signal);

impl InterruptHandler for Line {
    fn interrupt(&self) {
        self.0.raise();
    }
}

/// Connects the card whose front end has this directory. The back end may take its time. Returns the
/// card, and who is to watch over it.
///
/// # Errors
/// [`NetError`]
pub async fn start(
    store: &Store,
    sharing: Sharing,
    front: &str,
) -> Result<(Box<dyn NetDevice>, Minder), NetError> {
    let link = Link::find(store, front).await?;
    let frontend = Frontend::begin(link).await?.negotiate().await?;
    let link = frontend.link();
    let info = info(link).await?;
    let domain = DomainId(link.domain());
    let count = transmit::SLOTS + receive::SLOTS + 2;
    let entries = sharing.grants.reserve(count).map_err(NetError::Grants)?;
    let (transmit_ring, transmit_reference) = ring(&entries, domain)?;
    let (receive_ring, receive_reference) = ring(&entries, domain)?;
    let line = Arc::new(Line(Signal::new()));
    let channel = sharing.events.alloc_unbound(domain).map_err(NetError::Events)?;
    let nodes = [
        ("tx-ring-ref", transmit_reference),
        ("rx-ring-ref", receive_reference),
        ("event-channel", channel.port().number().to_string()),
        ("request-rx-copy", one()),
        // Otherwise netback looks for pages 30 times a second.
        ("feature-rx-notify", one()),
        // IPv6 without checksums is taken, too.
        ("feature-ipv6-csum-offload", one()),
    ];
    let pages: Rc<dyn FramePool> = Rc::new(PagePool::new(mayfly_arch::PAGE_SIZE, MAX_PAGES));
    let entries = Rc::new(entries);
    let is_connected = Rc::new(Cell::new(true));
    let mut device = NetFront {
        info,
        pool: Rc::new(PagePool::new(BUFFER_SIZE, MAX_BUFFERS)),
        transmit: Transmitter::new(
            transmit_ring,
            domain,
            Rc::clone(&entries),
            info.checksums.on_transmit,
        ),
        receive: Receiver::new(receive_ring, domain, entries, pages),
        channel,
        line: Arc::clone(&line),
        wants_room: false,
        is_broken: false,
        is_connected: Rc::clone(&is_connected),
    };
    let handler: Arc<dyn InterruptHandler> = Arc::clone(&line) as _;
    if !device.channel.listen(handler) {
        return Err(NetError::OutOfMemory);
    }
    let frontend = frontend.connect(&nodes).await?;
    device.tell();
    Ok((Box::new(device), Minder { frontend, is_connected, line }))
}

fn one() -> String {
    "1".into()
}

/// What the card is.
async fn info(link: &Link) -> Result<NetInfo, NetError> {
    if !link.has_feature("feature-rx-copy").await? {
        return Err(NetError::NoCopy);
    }
    let mac = link.front_text("mac").await?.and_then(|text| parse_mac(&text));
    let mtu = link.front_text("mtu").await?.and_then(|text| text.parse().ok());
    // Frames have to fit their buffers.
    let mtu = mtu.unwrap_or(USUAL_MTU).clamp(MIN_MTU, BUFFER_SIZE - ETHERNET_HEADER);
    // That it takes IPv4 without checksums goes without saying.
    let on_transmit = link.has_feature("feature-ipv6-csum-offload").await?;
    let checksums = Checksums { on_transmit, on_receive: true };
    Ok(NetInfo { mac: mac.ok_or(NetError::NoAddress)?, mtu, headroom: 0, checksums })
}

/// Six hexadecimal numbers with colons between them.
fn parse_mac(text: &str) -> Option<[u8; 6]> {
    let mut mac = [0; 6];
    let mut parts = text.trim().split(':');
    for byte in &mut mac {
        let is_number = |part: &&str| part.len() == 2 && !part.starts_with('+');
        *byte = u8::from_str_radix(parts.next().filter(is_number)?, 16).ok()?;
    }
    parts.next().is_none().then_some(mac)
}

/// A ring on a fresh page that `domain` is granted, and the reference to it.
fn ring<const WORDS: usize>(
    entries: &Reservation,
    domain: DomainId,
) -> Result<(ReadyRing<WORDS>, String), NetError> {
    let page = HeapPage::zeroed().ok_or(NetError::OutOfMemory)?;
    let grant = entries.grant(domain, page, Access::ReadWrite);
    let grant = grant.map_err(|(error, _)| NetError::Grants(error))?;
    let reference = grant.reference().0.to_string();
    Ok((FrontRing::new(grant), reference))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_or_refused() {
        assert_eq!(parse_mac("00:16:3e:0a:FF:01"), Some([0, 0x16, 0x3e, 0x0a, 0xff, 1]));
        for text in
            ["", "00:16:3e:0a:ff", "00:16:3e:0a:ff:01:02", "0:16:3e:0a:ff:1", "+0:16:3e:0a:ff:01"]
        {
            assert_eq!(parse_mac(text), None, "{text}");
        }
    }
}
