//! Network devices.

use alloc::rc::Rc;
use core::{
    num::NonZeroU16,
    task::{Context, Poll},
};

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
    /// Buffers with received frames that the device can spare: as long as no more wait with the
    /// stack, it has some for what is to come, and for what the app has taken. It can spare none of
    /// more than a page, of which there are few.
    pub spare_buffers: usize,
}

/// Whether an Ethernet address is that of one card: not a group's, and not all zeros. A stack may
/// panic at any other, and it is the other side that says it.
pub fn is_unicast(mac: [u8; 6]) -> bool {
    mac[0] & 1 == 0 && mac != [0; 6]
}

/// Which side computes TCP and UDP checksums.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Checksums {
    /// The device fills them in on transmit, in every frame that has one (see
    /// [`PartialChecksum`](crate::PartialChecksum)): the stack leaves the sum of the pseudo header
    /// in the field.
    pub on_transmit: bool,
    /// The device may have checked them on receive: [`Received::checked`] tells, frame by frame.
    pub on_receive: bool,
}

/// Longest TCP packets that a device cuts into segments by itself, in bytes of the Ethernet frame
/// that holds it; 0 where it does not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Segmentation {
    /// TCP over IPv4.
    pub tcp_ipv4: usize,
    /// TCP over IPv6.
    pub tcp_ipv6: usize,
}

/// What has become of a device's link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LinkChange {
    /// There is none. Nothing comes in, and the device takes no frames.
    Down,
    /// There is one, which need not be the one before: switches may not know where the device's
    /// addresses are, and the network may be another.
    Up,
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

    /// Where outgoing frames of up to the MTU are allocated.
    fn pool(&self) -> Rc<dyn FramePool>;

    /// Which frames longer than the MTU the device takes and cuts into segments itself. They need
    /// `Checksums::on_transmit`.
    fn segmentation(&self) -> Segmentation {
        Segmentation::default()
    }

    /// Where frames longer than the MTU are allocated, if the device takes any.
    fn large_pool(&self) -> Option<Rc<dyn FramePool>> {
        None
    }

    /// Takes the next received frame. Frames that the driver finds malformed are dropped.
    fn receive(&mut self) -> Option<Received>;

    /// How many frames `transmit` takes right now. Frames that have left are freed first.
    fn transmit_room(&mut self) -> usize;

    /// Queues a frame, which has the headroom that `info` asks for. The device may not be told
    /// of it before `flush`. Drops the frame and fails when the queue is full or the device is gone.
    fn transmit(&mut self, frame: FrameBuf) -> Result<(), DeviceError>;

    /// As `transmit`, for a TCP packet that the device is to cut into segments of `segment_size`
    /// bytes of payload. Only within what `segmentation` says.
    fn transmit_segmented(
        &mut self,
        frame: FrameBuf,
        segment_size: NonZeroU16,
    ) -> Result<(), DeviceError> {
        drop((frame, segment_size));
        Err(DeviceError::Unsupported)
    }

    /// Tells the device of all that was queued since the last call: one notification for a burst,
    /// none if the device did not ask for one.
    fn flush(&mut self);

    /// Says to which groups, by their Ethernet addresses, the stack wants frames, instead of those
    /// that it wanted before. What goes to the device's own address or to everybody is wanted
    /// anyway. A device need not go by it, and may pass more.
    fn set_groups(&mut self, groups: &[[u8; 6]]) {
        let _ = groups;
    }

    /// What has become of the link since the last call, at which it was up if there was none. Asked
    /// when [`poll_ready`](Self::poll_ready) was ready.
    fn link_change(&mut self) -> Option<LinkChange> {
        None
    }

    /// Ready when there may be something to receive, or room to transmit again after a full queue,
    /// or the link has changed; an error when the device is gone. When it returns pending,
    /// notifications are armed and the queues were looked at again after that.
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), DeviceError>>;
}
