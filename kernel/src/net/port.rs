//! The device as smoltcp sees it: one received frame at a time, and room to send.
//!
//! smoltcp asks a `phy::Device` for the next frame itself. Here the stack has looked at the frame
//! before and knows whose it is, so it hands over exactly that one.

use alloc::{boxed::Box, rc::Rc};
use core::{
    num::{NonZeroU16, NonZeroUsize},
    task::{Context, Poll},
};

use mayfly_device::{DeviceError, FrameBuf, FramePool, NetDevice, NetInfo, Received};
use smoltcp::{
    phy::{Checksum, Device, DeviceCapabilities, Medium, PacketMeta, RxToken, TxToken},
    time::Instant,
    wire::ETHERNET_HEADER_LEN,
};

use super::{checksum, segments::Layout, stats::Stats};
use crate::memory;

/// Longest frame that is given to a device to be cut: an IPv4 packet of 65,535 bytes.
const MAX_FRAME: usize = ETHERNET_HEADER_LEN + 65_535;
/// Shortest IP and TCP headers, and longest ones with Ethernet's.
const MIN_HEADERS: usize = 40;
const MAX_HEADERS: usize = 14 + 40 + 60;
/// A device that cuts nothing longer than that, which two frames hold, need not cut at all.
const LONG: usize = 4096;

/// The network device and what sending on it needs.
pub(super) struct Port {
    device: Box<dyn NetDevice>,
    pool: Rc<dyn FramePool>,
    /// For TCP packets that the device cuts into segments, if it does.
    large_pool: Option<Rc<dyn FramePool>>,
    pub(super) info: NetInfo,
    capabilities: DeviceCapabilities,
    /// A buffer taken before smoltcp is asked for a frame, because it cannot be told afterwards
    /// that there is none.
    spare: Option<FrameBuf>,
    /// The same for a packet that is to be cut into segments.
    large: Option<Large>,
    /// Frames that the device is known to take.
    room: usize,
    unflushed: bool,
    pub(super) stats: Stats,
}

/// Where a packet is built that is to be cut into segments.
enum Large {
    /// A buffer of the device, which cuts it.
    Frame(FrameBuf),
    /// Memory from which it is cut here.
    Scratch(Box<[u8]>),
}

impl Port {
    /// Takes the device over.
    pub(super) fn new(device: Box<dyn NetDevice>) -> Self {
        let info = device.info();
        let mut capabilities = DeviceCapabilities::default();
        capabilities.medium = Medium::Ethernet;
        capabilities.max_transmission_unit = info.mtu.saturating_add(ETHERNET_HEADER_LEN);
        // The port does these itself, or the device does: see `checksum`.
        let done = Checksum::None;
        let checksums = &mut capabilities.checksum;
        (checksums.ipv4, checksums.tcp, checksums.udp) = (done, done, done);
        let cut = device.segmentation();
        let longest =
            |frame: usize| NonZeroUsize::new(if frame > LONG { frame.min(MAX_FRAME) } else { 0 });
        let large_pool = device.large_pool().filter(|_| info.checksums.on_transmit);
        if large_pool.is_some() {
            capabilities.segmentation.tcpv4 = longest(cut.tcp_ipv4);
            capabilities.segmentation.tcpv6 = longest(cut.tcp_ipv6);
        }
        Self {
            pool: device.pool(),
            large_pool,
            device,
            info,
            capabilities,
            spare: None,
            large: None,
            room: 0,
            unflushed: false,
            stats: Stats::default(),
        }
    }

    /// Takes the next received frame.
    pub(super) fn receive(&mut self) -> Option<Received> {
        let received = self.device.receive()?;
        self.stats.received_frames += 1;
        Some(received)
    }

    /// Whether a frame can be sent now.
    pub(super) fn has_room(&mut self) -> bool {
        if self.room == 0 {
            self.room = self.device.transmit_room();
        }
        self.room > 0
    }

    /// An empty buffer for a frame of `length` bytes, if there is memory for one.
    pub(super) fn allocate(&mut self, length: usize) -> Option<FrameBuf> {
        let headroom = self.info.headroom;
        let frame = self.spare.take().or_else(|| FrameBuf::allocate(&self.pool, headroom));
        let mut frame = frame?;
        let fits = headroom.checked_add(length).is_some_and(|end| frame.set_range(headroom, end));
        if fits { Some(frame) } else { None }
    }

    /// Queues a frame. One that the device does not take is dropped and counted.
    pub(super) fn send(&mut self, frame: FrameBuf) {
        let result = self.device.transmit(frame);
        self.sent(result);
    }

    fn sent(&mut self, result: Result<(), DeviceError>) {
        match result {
            Ok(()) => {
                self.room = self.room.saturating_sub(1);
                self.unflushed = true;
                self.stats.sent_frames += 1;
            }
            Err(_) => {
                self.room = 0;
                self.stats.unsent_frames += 1;
            }
        }
    }

    /// Tells the device of what was queued, if anything was.
    pub(super) fn flush(&mut self) {
        if self.unflushed {
            self.unflushed = false;
            self.device.flush();
        }
    }

    /// See [`NetDevice::poll_ready`].
    pub(super) fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), DeviceError>> {
        self.device.poll_ready(cx)
    }

    /// Makes sure that there is a buffer for a TCP packet of up to `length` bytes, payload and all:
    /// one of the device, or else one in which it is built to be cut here.
    fn reserve_large(&mut self, length: usize) -> bool {
        let fits = |large: &Large| match large {
            Large::Frame(frame) => frame.tailroom() >= length,
            Large::Scratch(bytes) => bytes.len() >= length,
        };
        if !self.large.as_ref().is_some_and(fits) {
            let pool = self.large_pool.as_ref();
            let frame = pool.and_then(|pool| FrameBuf::allocate(pool, self.info.headroom));
            self.large = frame.map(Large::Frame).filter(fits).or_else(|| {
                memory::try_zeroed(length, "a long TCP packet").ok().map(Large::Scratch)
            });
        }
        if self.large.is_none() {
            self.stats.out_of_memory += 1;
        }
        self.large.is_some()
    }

    /// Builds a packet that is longer than a frame, to be cut into segments of `size` bytes.
    fn send_segmented<R>(
        &mut self,
        length: usize,
        size: NonZeroU16,
        fill: impl FnOnce(&mut [u8]) -> R,
    ) -> R {
        match self.large.take() {
            Some(Large::Frame(mut frame)) => {
                let start = self.info.headroom;
                if !frame.set_range(start, start + length) {
                    self.stats.unsent_frames += 1;
                    return fill(&mut alloc::vec![0; length]);
                }
                let result = fill(frame.bytes_mut());
                checksum::fill(frame.bytes_mut(), true);
                let sent = self.device.transmit_segmented(frame, size);
                self.sent(sent);
                result
            }
            Some(Large::Scratch(mut bytes)) if bytes.len() >= length => {
                let packet = &mut bytes[..length];
                let result = fill(packet);
                self.cut(packet, size);
                result
            }
            // Only for what is longer than was reserved, which the send buffer cannot hold.
            _ => {
                self.stats.unsent_frames += 1;
                fill(&mut alloc::vec![0; length])
            }
        }
    }

    /// Sends the segments of a packet. Those for which there is no memory or room are lost, and
    /// sent again by TCP.
    fn cut(&mut self, packet: &[u8], size: NonZeroU16) {
        let Some(layout) = Layout::of(packet) else { return };
        for piece in layout.pieces(packet.len(), size) {
            let Some(mut frame) = self.allocate(layout.length(&piece)) else {
                self.stats.out_of_memory += 1;
                return;
            };
            if layout.write(frame.bytes_mut(), packet, piece).is_some() {
                checksum::fill(frame.bytes_mut(), self.info.checksums.on_transmit);
                self.send(frame);
            }
        }
    }

    fn reserve(&mut self) -> bool {
        if self.spare.is_none() {
            self.spare = FrameBuf::allocate(&self.pool, self.info.headroom);
        }
        if self.spare.is_none() {
            self.stats.out_of_memory += 1;
        }
        self.spare.is_some()
    }
}

/// One call of smoltcp: the frame that it is to receive, if any, and the port to answer on.
pub(super) struct Phy<'a> {
    port: &'a mut Port,
    frame: Option<&'a [u8]>,
    /// Most bytes of payload in a packet that may have to be cut into segments.
    payload: usize,
}

impl<'a> Phy<'a> {
    /// smoltcp is to receive `frame`.
    pub(super) fn input(port: &'a mut Port, frame: &'a [u8]) -> Self {
        Self { port, frame: Some(frame), payload: 0 }
    }

    /// smoltcp may send packets of up to `payload` bytes of TCP payload, or with 0, frames only.
    pub(super) fn output(port: &'a mut Port, payload: usize) -> Self {
        Self { port, frame: None, payload }
    }
}

impl Device for Phy<'_> {
    type RxToken<'t>
        = Receive<'t>
    where
        Self: 't;
    type TxToken<'t>
        = Transmit<'t>
    where
        Self: 't;

    fn receive(&mut self, _now: Instant) -> Option<(Receive<'_>, Transmit<'_>)> {
        let frame = self.frame.take()?;
        self.port.reserve().then(|| (Receive(frame), Transmit::new(self.port)))
    }

    fn transmit(&mut self, _now: Instant) -> Option<Transmit<'_>> {
        let needs_large =
            self.port.large_pool.is_some() && self.payload + MIN_HEADERS > self.port.info.mtu;
        let is_ready = self.port.has_room()
            && self.port.reserve()
            && (!needs_large || self.port.reserve_large(self.payload + MAX_HEADERS));
        is_ready.then(|| Transmit::new(self.port))
    }

    fn capabilities(&self) -> DeviceCapabilities {
        self.port.capabilities.clone()
    }
}

/// The frame that smoltcp is to look at.
pub(super) struct Receive<'a>(&'a [u8]);

impl RxToken for Receive<'_> {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, look: F) -> R {
        look(self.0)
    }
}

/// Permission to send one frame.
pub(super) struct Transmit<'a> {
    port: &'a mut Port,
    /// If the frame is longer than the MTU: payload of the segments that are to be made of it.
    segment_size: Option<NonZeroU16>,
}

impl<'a> Transmit<'a> {
    fn new(port: &'a mut Port) -> Self {
        Self { port, segment_size: None }
    }
}

impl TxToken for Transmit<'_> {
    fn set_meta(&mut self, meta: PacketMeta) {
        self.segment_size = meta.segmentation_offload_size;
    }

    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, length: usize, fill: F) -> R {
        if let Some(size) = self.segment_size {
            return self.port.send_segmented(length, size, fill);
        }
        match self.port.allocate(length) {
            Some(mut frame) => {
                let result = fill(frame.bytes_mut());
                checksum::fill(frame.bytes_mut(), self.port.info.checksums.on_transmit);
                self.port.send(frame);
                result
            }
            // Longer than a buffer of the pool: smoltcp keeps to the MTU, so this is a pool that
            // was made too small. The frame is built and dropped.
            None => {
                self.port.stats.unsent_frames += 1;
                fill(&mut alloc::vec![0; length])
            }
        }
    }
}
