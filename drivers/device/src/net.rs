//! Network devices.

use alloc::rc::Rc;
use core::task::{Context, Poll};

use crate::{DeviceError, FrameBuf, FramePool};

/// What a network device is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NetInfo {
    /// Its Ethernet address.
    pub mac: [u8; 6],
    /// Largest IP packet, in bytes; a frame is 14 bytes longer.
    pub mtu: usize,
    /// Bytes of room that the driver wants before an outgoing frame, for its own header.
    pub headroom: usize,
    /// What the device does about TCP and UDP checksums.
    pub checksums: Checksums,
}

/// Which side computes TCP and UDP checksums.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Checksums {
    /// The device fills them in on transmit: the stack may leave them at the pseudo-header sum.
    pub on_transmit: bool,
    /// The device has checked them on receive, see [`Received::checked`].
    pub on_receive: bool,
}

/// A frame that came in.
#[derive(Debug)]
pub struct Received {
    /// The Ethernet frame.
    pub frame: FrameBuf,
    /// The device vouches for the TCP or UDP checksum: it was verified, or the frame never left
    /// this host and its checksum was never filled in.
    pub checked: bool,
}

/// A network device: a queue of frames in each direction.
pub trait NetDevice {
    /// What the device is. Constant over its life.
    fn info(&self) -> NetInfo;

    /// Where outgoing frames are allocated.
    fn pool(&self) -> Rc<dyn FramePool>;

    /// Takes the next received frame. Frames that the driver finds malformed are dropped and
    /// counted, not returned.
    fn receive(&mut self) -> Option<Received>;

    /// How many frames `transmit` takes right now. Frames that have left are freed first.
    fn transmit_room(&mut self) -> usize;

    /// Queues a frame, which has the headroom that `info` asks for. The device may not be told
    /// of it before `flush`. Drops the frame and fails when the queue is full or the device is gone.
    fn transmit(&mut self, frame: FrameBuf) -> Result<(), DeviceError>;

    /// Tells the device of all that was queued since the last call: one notification for a burst,
    /// none if the device did not ask for one.
    fn flush(&mut self);

    /// Ready when there may be something to receive, or room to transmit again after a full queue;
    /// an error when the device is gone. When it returns pending, notifications are armed and the
    /// queues were looked at again after that.
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), DeviceError>>;
}
