//! netfront: a network card whose other end, netback, is in another domain
//! (xen/include/public/io/netif.h).
//!
//! Two rings, each on a page of its own, and one event channel for both. In the
//! transmit ring (`transmit`) a request is a frame to be sent, in the receive ring (`receive`) a page
//! for a frame to come. There is one copy in each direction, between the app's data and the frame;
//! all else is granted.

mod connect;
mod receive;
mod transmit;
mod wire;

#[cfg(test)]
mod tests;

use alloc::rc::Rc;
use core::task::{Context, Poll};

use mayfly_device::{DeviceError, FrameBuf, FramePool, NetDevice, NetInfo, Received};

pub use self::connect::start;
use self::{receive::Receiver, transmit::Transmitter};
use crate::{
    bus::{GrantedRing, Line},
    byte_ring::BadIndex,
    event_channel::EventChannel,
};

/// A network card.
struct NetFront {
    info: NetInfo,
    pool: Rc<dyn FramePool>,
    transmit: Transmitter,
    receive: Receiver,
    channel: EventChannel,
    line: Line,
    /// The stack found no room to transmit.
    wants_room: bool,
    /// The back end broke the protocol.
    is_broken: bool,
}

impl NetFront {
    fn fail(&mut self) {
        if !self.is_broken {
            self.is_broken = true;
            log::error!("netfront: {}", DeviceError::Protocol);
        }
    }

    fn is_usable(&self) -> bool {
        !self.is_broken && self.line.is_connected()
    }

    fn reclaim(&mut self) {
        if self.is_usable() && self.transmit.reclaim().is_err() {
            self.fail();
        }
    }

    /// Tells the back end of what was queued, if it wants to know.
    fn tell(&mut self) {
        let wants_frames = self.transmit.publish();
        let wants_pages = self.receive.publish();
        if wants_frames || wants_pages {
            self.channel.notify();
        }
    }
}

impl NetDevice for NetFront {
    fn info(&self) -> NetInfo {
        self.info
    }

    fn pool(&self) -> Rc<dyn FramePool> {
        Rc::clone(&self.pool)
    }

    fn receive(&mut self) -> Option<Received> {
        if !self.is_usable() || !self.receive.has_frame() {
            return None;
        }
        self.receive.next().unwrap_or_else(|BadIndex| {
            self.fail();
            None
        })
    }

    fn transmit_room(&mut self) -> usize {
        self.reclaim();
        let room = if self.is_usable() { self.transmit.room() } else { 0 };
        self.wants_room = room == 0;
        room
    }

    fn transmit(&mut self, frame: FrameBuf) -> Result<(), DeviceError> {
        if !self.is_usable() {
            return Err(DeviceError::Gone);
        }
        if self.transmit.room() == 0 {
            self.reclaim();
        }
        self.transmit.push(frame)
    }

    fn flush(&mut self) {
        if self.is_usable() {
            self.tell();
        }
    }

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), DeviceError>> {
        self.line.watch(cx);
        if self.is_broken {
            return Poll::Ready(Err(DeviceError::Protocol));
        }
        if !self.line.is_connected() {
            return Poll::Ready(Err(DeviceError::Gone));
        }
        if self.receive.has_frame() {
            return Poll::Ready(Ok(()));
        }
        self.receive.rest();
        self.tell();
        let has_frame = self.receive.wants_event();
        let has_room = self.wants_room && self.transmit.wants_event_after(transmit::SLOTS / 2);
        if !has_frame && !has_room {
            return Poll::Pending;
        }
        self.wants_room &= !has_room;
        Poll::Ready(Ok(()))
    }
}
