//! netfront: a network card whose other end, netback, is in another domain
//! (xen/include/public/io/netif.h).
//!
//! Two rings, each on a page of its own, with an event channel for each, are a queue (`queue`); a
//! card has one, or several (`steer`). In the transmit ring (`transmit`) a request is a page of a
//! frame to be sent, in the receive ring (`receive`) a page for a frame to come, or a part of one
//! (`chain`). TCP packets that are longer than the MTU go both ways in one piece: who cuts them into
//! segments, if anybody has to, is the last machine's card. All pages are granted; what is copied are
//! the parts of long frames that come in, so that the stack sees them in one piece.

mod chain;
mod connect;
mod groups;
mod queue;
mod receive;
mod steer;
mod transmit;
mod wire;

#[cfg(test)]
mod tests;

use alloc::{rc::Rc, vec::Vec};
use core::{
    cell::Cell,
    num::NonZeroU16,
    task::{Context, Poll},
};

use mayfly_device::{
    DeviceError, FrameBuf, FramePool, LinkChange, NetDevice, NetInfo, Received, Segmentation,
};

pub use self::connect::start;
use self::{
    groups::{Group, Groups},
    queue::Queue,
};
use crate::{
    bus::{GrantedRing, Session},
    byte_ring::BadIndex,
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
    /// Whether its back end has a link of its own.
    carrier: Rc<Cell<bool>>,
    /// Whether it had a connection, and that a link, when `poll_ready` was last called.
    is_up: bool,
    /// What has become of the link, which the stack has not asked for.
    change: Option<LinkChange>,
    /// What the stack wants to hear beside what goes to it and to everybody.
    groups: Vec<Group>,
}

/// What it uses while its back end is there.
struct Connection {
    /// At least one.
    queues: Vec<Queue>,
    /// The queue that is to be received from next.
    turn: usize,
    /// If the back end is to be told of groups.
    groups: Option<Groups>,
}

impl Connection {
    /// Whether the back end was not told of all groups.
    fn is_behind(&self) -> bool {
        self.groups.as_ref().is_some_and(Groups::is_behind)
    }

    /// Queues what the back end does not know of the groups that are wanted.
    fn tell_groups(&mut self, wanted: &[Group]) {
        if let (Some(groups), Some(queue)) = (&mut self.groups, self.queues.first_mut()) {
            groups.tell(wanted, &mut queue.transmit);
        }
    }

    /// Whether there is memory for long TCP packets. If so, it is kept.
    fn takes_long(&mut self) -> bool {
        self.queues.iter_mut().all(|queue| queue.receive.takes_long())
    }

    /// Tells the back end of what was queued, if it wants to know.
    fn tell(&mut self) {
        self.queues.iter_mut().for_each(Queue::tell);
    }

    /// Frees the buffers of frames that have left.
    fn reclaim(&mut self) -> Result<(), BadIndex> {
        self.queues.iter_mut().try_for_each(|queue| queue.transmit.reclaim())
    }

    /// How many frames can be pushed, whichever queue they go through.
    fn room(&self) -> usize {
        self.queues.iter().map(|queue| queue.transmit.room()).min().unwrap_or(0)
    }

    /// Whether there is something to receive.
    fn has_frame(&self) -> bool {
        self.queues.iter().any(|queue| queue.receive.has_frame())
    }

    /// The next frame, of each queue in turn.
    fn receive(&mut self) -> Result<Option<Received>, BadIndex> {
        let count = self.queues.len();
        for _ in 0..count {
            let queue = self.queues.get_mut(self.turn);
            self.turn = (self.turn + 1) % count;
            let Some(Queue { receive, .. }) = queue.filter(|queue| queue.receive.has_frame())
            else {
                continue;
            };
            if let Some(received) = receive.next()? {
                return Ok(Some(received));
            }
        }
        Ok(None)
    }

    /// Asks for an event at the next frame, and with `wants_room`, when frames have left. Returns
    /// whether there is one already, and whether they have.
    fn wants_event(&mut self, wants_room: bool) -> (bool, bool) {
        let (mut has_frame, mut has_room) = (false, wants_room);
        for queue in &mut self.queues {
            queue.receive.rest();
            queue.tell();
            has_frame |= queue.receive.wants_event();
            has_room = has_room && (queue.transmit.room() > 0 || queue.transmit.wants_event());
        }
        (has_frame, has_room)
    }
}

impl NetFront {
    fn fail(&mut self) {
        self.session.fail("netfront");
    }

    fn connection(&mut self) -> Option<&mut Connection> {
        if self.session.has_news() && self.session.accept() {
            self.tell_groups();
        }
        self.session.connection()
    }

    /// Tells the back end of the groups that it does not know of.
    fn tell_groups(&mut self) {
        if let Some(connection) = self.session.connection() {
            connection.tell_groups(&self.groups);
            connection.tell();
        }
    }

    /// Whether the link has changed since this was last asked.
    fn has_changed(&mut self) -> bool {
        let is_new = self.session.take_new();
        let is_up = self.session.connection().is_some() && self.carrier.get();
        let has_changed = is_new || is_up != self.is_up;
        if has_changed {
            self.is_up = is_up;
            self.change = Some(if is_up { LinkChange::Up } else { LinkChange::Down });
        }
        has_changed
    }

    fn reclaim(&mut self) {
        if self.connection().is_some_and(|connection| connection.reclaim().is_err()) {
            self.fail();
        }
    }

    fn push(&mut self, frame: FrameBuf, segment: Option<NonZeroU16>) -> Result<(), DeviceError> {
        let connection = self.connection().ok_or(DeviceError::Gone)?;
        let index = steer::queue_for(frame.bytes(), connection.queues.len());
        if connection.queues.get(index).is_some_and(|queue| queue.transmit.room() == 0) {
            self.reclaim();
        }
        let queue = self.connection().and_then(|connection| connection.queues.get_mut(index));
        queue.ok_or(DeviceError::Gone)?.transmit.push(frame, segment)
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
        self.connection()?.receive().unwrap_or_else(|_| {
            self.fail();
            None
        })
    }

    fn transmit_room(&mut self) -> usize {
        self.reclaim();
        let has_carrier = self.carrier.get();
        let room =
            self.connection().filter(|_| has_carrier).map_or(0, |connection| connection.room());
        // Without a link, it is that which is waited for.
        self.wants_room = room == 0 && has_carrier;
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
        if self.connection().is_some_and(|connection| connection.is_behind()) {
            self.tell_groups();
        }
        if let Some(connection) = self.connection() {
            connection.tell();
        }
    }

    fn link_change(&mut self) -> Option<LinkChange> {
        self.change.take()
    }

    fn set_groups(&mut self, groups: &[Group]) {
        let mut wanted = Vec::new();
        if wanted.try_reserve_exact(groups.len()).is_ok() {
            wanted.extend_from_slice(groups);
            self.groups = wanted;
        }
        self.reclaim();
        self.tell_groups();
    }

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), DeviceError>> {
        self.session.watch(cx);
        let wants_room = self.wants_room;
        let has_frame = self.connection().is_some_and(|connection| connection.has_frame());
        if let Some(error) = self.session.error() {
            return Poll::Ready(Err(error));
        }
        if self.has_changed() || has_frame {
            return Poll::Ready(Ok(()));
        }
        // Away: the session wakes who waits when it is back.
        let Some(connection) = self.session.connection() else { return Poll::Pending };
        let (has_frame, has_room) = connection.wants_event(wants_room);
        if !has_frame && !has_room {
            return Poll::Pending;
        }
        self.wants_room &= !has_room;
        Poll::Ready(Ok(()))
    }
}
