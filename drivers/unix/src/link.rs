//! What the two kinds of network device have in common.

use std::rc::Rc;

use mayfly_arch::HostLink;
use mayfly_device::{Checksums, FramePool, NetDevice, NetInfo, PagePool};

use crate::{FrameSocket, OpenError, Tap};

/// Largest IP packet in bytes, that of Ethernet: the guest sees the packets that it would see on a
/// network of machines.
const MTU: usize = 1500;

/// Bytes of a frame buffer: the next power of two that holds a frame.
const BUFFER_SIZE: usize = 2048;

/// Most frame buffers of a device.
const MAX_BUFFERS: usize = 4096;

/// How many frames a device takes at a time, when its queue is not full.
pub(crate) const TRANSMIT_ROOM: usize = 64;

/// Opens a network device of the process.
///
/// # Errors
/// The host does not let us; the error says what to do.
pub fn open_net(link: HostLink, mac: [u8; 6]) -> Result<Box<dyn NetDevice>, OpenError> {
    Ok(match link {
        HostLink::Tap(name) => Box::new(Tap::open(name, mac)?),
        HostLink::Socket(path) => Box::new(FrameSocket::connect(path, mac)?),
        HostLink::Descriptor(number) => Box::new(FrameSocket::inherit(number, mac)?),
    })
}

/// What such a device is.
pub(crate) fn info(mac: [u8; 6]) -> NetInfo {
    NetInfo {
        mac,
        mtu: MTU,
        headroom: 0,
        checksums: Checksums::default(),
        spare_buffers: MAX_BUFFERS / 4,
    }
}

/// Where its frames are allocated.
pub(crate) fn pool() -> Rc<dyn FramePool> {
    Rc::new(PagePool::new(BUFFER_SIZE, MAX_BUFFERS))
}
