//! netfront: a network card whose other end, netback, is in another domain
//! (xen/include/public/io/netif.h).
//!
//! Two rings, each on a page of its own, and one event channel for both. In the
//! transmit ring (`transmit`) a request is a page of a frame to be sent, in the receive ring
//! (`receive`) a page for a frame to come, or a part of one (`chain`). TCP packets that are longer
//! than the MTU go both ways in one piece: who cuts them into segments, if anybody has to, is the
//! last machine's card. All pages are granted; what is copied are the parts of long frames that come
//! in, so that the stack sees them in one piece.

mod chain;
mod connect;
mod receive;
mod transmit;
mod wire;

#[cfg(test)]
mod tests;

use alloc::rc::Rc;
use core::{
    num::NonZeroU16,
    task::{Context, Poll},
};

use mayfly_device::{DeviceError, FrameBuf, FramePool, NetDevice, NetInfo, Received, Segmentation};

pub use self::connect::start;
use self::{receive::Receiver, transmit::Transmitter};
use crate::{
    bus::{GrantedRing, Session},
    event_channel::EventChannel,
};

/// What a card is.
#[derive(Clone, Copy, PartialEq)]
struct CardInfo {
    net: NetInfo,
    segmentation: Segmentation,
    /// Pages that a frame may take.
    pages: usize,
}

/// A network card.
struct NetFront {
    info: CardInfo,
    pool: Rc<dyn FramePool>,
    large_pool: Option<Rc<dyn FramePool>>,
    session: Session<Connection>,
    /// The stack found no room to transmit.
    wants_room: bool,
}

/// What it uses while its back end is there.
struct Connection {
    transmit: Transmitter,
    receive: Receiver,
    channel: EventChannel,
}

impl Connection {
    /// Tells the back end of what was queued, if it wants to know.
    fn tell(&mut self) {
        let wants_frames = self.transmit.publish();
        let wants_pages = self.receive.publish();
        if wants_frames || wants_pages {
            self.channel.notify();
        }
    }
}

impl NetFront {
    fn fail(&mut self) {
        self.session.fail("netfront");
    }

    fn connection(&mut self) -> Option<&mut Connection> {
        if self.session.has_news() {
            self.session.accept();
        }
        self.session.connection()
    }

    fn reclaim(&mut self) {
        if self.connection().is_some_and(|connection| connection.transmit.reclaim().is_err()) {
            self.fail();
        }
    }

    fn push(&mut self, frame: FrameBuf, segment: Option<NonZeroU16>) -> Result<(), DeviceError> {
        if self.connection().is_some_and(|connection| connection.transmit.room() == 0) {
            self.reclaim();
        }
        self.connection().ok_or(DeviceError::Gone)?.transmit.push(frame, segment)
    }
}

impl NetDevice for NetFront {
    fn info(&self) -> NetInfo {
        self.info.net
    }

    fn pool(&self) -> Rc<dyn FramePool> {
        Rc::clone(&self.pool)
    }

    fn segmentation(&self) -> Segmentation {
        self.info.segmentation
    }

    fn large_pool(&self) -> Option<Rc<dyn FramePool>> {
        self.large_pool.clone()
    }

    fn receive(&mut self) -> Option<Received> {
        let receiver = &mut self.connection()?.receive;
        if !receiver.has_frame() {
            return None;
        }
        receiver.next().unwrap_or_else(|_| {
            self.fail();
            None
        })
    }

    fn transmit_room(&mut self) -> usize {
        self.reclaim();
        let room = self.connection().map_or(0, |connection| connection.transmit.room());
        self.wants_room = room == 0;
        room
    }

    fn transmit(&mut self, frame: FrameBuf) -> Result<(), DeviceError> {
        self.push(frame, None)
    }

    fn transmit_segmented(
        &mut self,
        frame: FrameBuf,
        segment_size: NonZeroU16,
    ) -> Result<(), DeviceError> {
        self.push(frame, Some(segment_size))
    }

    fn flush(&mut self) {
        if let Some(connection) = self.connection() {
            connection.tell();
        }
    }

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), DeviceError>> {
        self.session.watch(cx);
        let wants_room = self.wants_room;
        let has_frame = self.connection().is_some_and(|connection| connection.receive.has_frame());
        if let Some(error) = self.session.error() {
            return Poll::Ready(Err(error));
        }
        if self.session.take_new() || has_frame {
            return Poll::Ready(Ok(()));
        }
        // Away: the session wakes who waits when it is back.
        let Some(connection) = self.session.connection() else { return Poll::Pending };
        connection.receive.rest();
        connection.tell();
        let has_frame = connection.receive.wants_event();
        let has_room = wants_room && connection.transmit.wants_event();
        if !has_frame && !has_room {
            return Poll::Pending;
        }
        self.wants_room &= !has_room;
        Poll::Ready(Ok(()))
    }
}
