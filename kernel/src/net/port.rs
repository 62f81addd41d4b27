//! The device as smoltcp sees it: one received frame at a time, and room to send.
//!
//! smoltcp asks a `phy::Device` for the next frame itself. Here the stack has looked at the frame
//! before and knows whose it is, so it hands over exactly that one.

use alloc::{boxed::Box, rc::Rc};
use core::task::{Context, Poll};

use mayfly_device::{DeviceError, FrameBuf, FramePool, NetDevice, NetInfo, Received};
use smoltcp::{
    phy::{Checksum, Device, DeviceCapabilities, Medium, RxToken, TxToken},
    time::Instant,
    wire::ETHERNET_HEADER_LEN,
};

use super::{checksum, stats::Stats};

/// The network device and what sending on it needs.
pub(super) struct Port {
    device: Box<dyn NetDevice>,
    pool: Rc<dyn FramePool>,
    pub(super) info: NetInfo,
    capabilities: DeviceCapabilities,
    /// A buffer taken before smoltcp is asked for a frame, because it cannot be told afterwards
    /// that there is none.
    spare: Option<FrameBuf>,
    /// Frames that the device is known to take.
    room: usize,
    unflushed: bool,
    pub(super) stats: Stats,
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
        Self {
            pool: device.pool(),
            device,
            info,
            capabilities,
            spare: None,
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
        match self.device.transmit(frame) {
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
    pub(super) port: &'a mut Port,
    pub(super) frame: Option<&'a [u8]>,
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
        self.port.reserve().then_some((Receive(frame), Transmit(self.port)))
    }

    fn transmit(&mut self, _now: Instant) -> Option<Transmit<'_>> {
        (self.port.has_room() && self.port.reserve()).then_some(Transmit(self.port))
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
pub(super) struct Transmit<'a>(&'a mut Port);

impl TxToken for Transmit<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, length: usize, fill: F) -> R {
        match self.0.allocate(length) {
            Some(mut frame) => {
                let result = fill(frame.bytes_mut());
                checksum::fill(frame.bytes_mut(), self.0.info.checksums.on_transmit);
                self.0.send(frame);
                result
            }
            // Longer than a buffer of the pool: smoltcp keeps to the MTU, so this is a pool that
            // was made too small. The frame is built and dropped.
            None => {
                self.0.stats.unsent_frames += 1;
                fill(&mut alloc::vec![0; length])
            }
        }
    }
}
