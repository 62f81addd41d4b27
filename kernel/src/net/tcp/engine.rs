//! What the stack does with TCP segments and connections.

use mayfly_device::FrameBuf;
use smoltcp::{
    iface::PollResult,
    socket::tcp::State,
    time::{Duration, Instant},
};

use super::{
    connection::{Connection, Owner},
    segment::{RST, Tcp},
};
use crate::net::{
    Error,
    flow_map::Id,
    port::Phy,
    stack::Stack,
    wire::{Flow, Segment},
};

/// How long a handshake may take.
const HANDSHAKE_TIME: Duration = Duration::from_secs(15);
/// Segments that one connection may send before others have their turn.
const MAX_BURST: usize = 16;
/// When to look again at a connection that wants to send but sends nothing.
const STALL_TIME: Duration = Duration::from_millis(100);

/// What has just happened to a connection.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Cause {
    /// A segment came in.
    Input,
    /// A segment that resets it came in.
    Reset,
    /// It had the chance to send, in this state.
    Output(State),
}

impl Stack {
    /// Takes a TCP segment in.
    pub(in crate::net) fn input_tcp(&mut self, frame: &FrameBuf, segment: &Segment) {
        let bytes = frame.bytes();
        let flow = &segment.flow;
        // RFC 9293 section 3.9.2.3: segments to groups are ignored.
        let to_group = bytes.first().is_some_and(|first| first & 1 != 0);
        if to_group || !self.interface.has_ip_addr(flow.local.addr) {
            self.port.stats.dropped_frames += 1;
            return;
        }
        if let Some(id) = self.connections.find(flow) {
            return self.input_connection(id, bytes, segment);
        }
        let Some(tcp) = Tcp::of(bytes, segment) else { return };
        if self.input_time_wait(bytes, segment, &tcp) {
            return;
        }
        if tcp.is_request() && self.listeners.contains_key(&flow.local.port) {
            self.request(bytes, segment);
        } else {
            // smoltcp answers with a reset.
            self.input_base(bytes);
        }
    }

    /// Takes a segment of a connection in.
    pub(super) fn input_connection(&mut self, id: Id, bytes: &[u8], segment: &Segment) {
        let Some(connection) = self.connections.get_mut(id) else { return };
        let Some(tcp) = Tcp::of(bytes, segment) else { return };
        let mut phy = Phy { port: &mut self.port, frame: Some(bytes) };
        self.interface.poll_ingress_single(self.now, &mut phy, &mut connection.set);
        if let Some(end) = tcp.end_of_input() {
            connection.end_of_input = Some(end);
        }
        self.settle(id, if tcp.flags & RST != 0 { Cause::Reset } else { Cause::Input });
    }

    /// Adds a connection to all tables. `None` if there is no memory for that.
    pub(super) fn add_connection(&mut self, flow: Flow, connection: Connection) -> Option<Id> {
        let id = self.connections.insert(flow, connection).ok();
        let slots = self.connections.slots();
        let is_reserved = self.deadlines.reserve(slots)
            && self.dirty.try_reserve(slots.saturating_sub(self.dirty.len())).is_ok()
            && {
                let more = slots.saturating_sub(self.neighbor_waiters.len());
                self.neighbor_waiters.try_reserve(more).is_ok()
            };
        if let (Some(id), true) = (id, is_reserved) {
            self.port.stats.connections = self.connections.len() as u32;
            return Some(id);
        }
        if let Some(id) = id {
            self.connections.remove(id);
        }
        self.port.stats.out_of_memory += 1;
        None
    }

    /// Forgets a connection without telling the peer.
    pub(super) fn discard(&mut self, id: Id) {
        let Some(connection) = self.connections.remove(id) else { return };
        self.deadlines.remove(id.slot());
        self.port.stats.connections = self.connections.len() as u32;
        if self.connections.len() == 0 {
            self.give_back();
        }
        self.disown(id, connection.owner);
    }

    /// Takes a connection out of the books of its owner.
    pub(super) fn disown(&mut self, id: Id, owner: Owner) {
        match owner {
            Owner::HalfOpen(port) | Owner::Ready(port) => {
                let Some(listener) = self.listeners.get_mut(&port) else { return };
                listener.pending -= 1;
                if matches!(owner, Owner::Ready(_)) {
                    listener.ready.retain(|ready| *ready != id);
                }
                self.answer_requests(port);
            }
            Owner::Orphan => self.orphans -= 1,
            Owner::Stream => {}
        }
    }

    /// Returns the memory that the tables took when there were connections.
    fn give_back(&mut self) {
        self.deadlines.give_back();
        self.dirty = Default::default();
        self.neighbor_waiters = Default::default();
    }

    /// Puts a connection into the line of those that may have something to send.
    pub(in crate::net) fn mark_dirty(&mut self, id: Id) {
        if let Some(connection) = self.connections.get_mut(id)
            && !connection.dirty
        {
            connection.dirty = true;
            self.dirty.push_back(id);
        }
    }

    /// Lets a connection send. Returns false if the device has no room for more.
    pub(in crate::net) fn serve(&mut self, id: Id) -> bool {
        let Some(connection) = self.connections.get_mut(id) else { return true };
        connection.dirty = false;
        let state = connection.socket().state();
        let before = self.port.stats.sent_frames - self.port.questions;
        for _ in 0..MAX_BURST {
            let mut phy = Phy { port: &mut self.port, frame: None };
            let result = self.interface.poll_egress(self.now, &mut phy, &mut connection.set);
            if result == PollResult::None {
                break;
            }
        }
        let has_room = self.port.has_room();
        if has_room && self.port.stats.sent_frames - self.port.questions == before {
            self.suspect_neighbor(id);
        }
        self.settle(id, Cause::Output(state));
        has_room
    }

    /// The connection may wait for the answer to a question that smoltcp has asked the link.
    fn suspect_neighbor(&mut self, id: Id) {
        if let Some(connection) = self.connections.get_mut(id)
            && !connection.waits_for_neighbor
        {
            connection.waits_for_neighbor = true;
            self.neighbor_waiters.push(id);
        }
    }

    /// Wakes the connections that may wait for a neighbour's address: one has been learned.
    pub(in crate::net) fn neighbor_learned(&mut self) {
        while let Some(id) = self.neighbor_waiters.pop() {
            if let Some(connection) = self.connections.get_mut(id) {
                connection.waits_for_neighbor = false;
            }
            self.mark_dirty(id);
        }
    }

    /// Brings everything in line with the state that a connection has reached.
    fn settle(&mut self, id: Id, cause: Cause) {
        let Some(connection) = self.connections.get_mut(id) else { return };
        let state = connection.socket().state();
        let mut limit = None;
        match connection.owner {
            Owner::Stream if state == State::Closed => {
                let error = match cause {
                    Cause::Reset => Some(Error::Reset),
                    Cause::Output(State::Closed | State::TimeWait) | Cause::Input => None,
                    Cause::Output(_) => Some(Error::TimedOut),
                };
                connection.error = connection.error.or(error);
            }
            Owner::Stream => {}
            Owner::HalfOpen(port) => match state {
                State::Listen | State::Closed => return self.discard(id),
                State::SynReceived => {
                    let until = connection.since + HANDSHAKE_TIME;
                    if until <= self.now {
                        return self.discard(id);
                    }
                    limit = Some(until);
                }
                _ => self.make_ready(id, port),
            },
            Owner::Ready(_) if state == State::Closed => return self.discard(id),
            Owner::Ready(_) => {}
            Owner::Orphan => match self.settle_orphan(id) {
                None => return,
                until => limit = until,
            },
        }
        self.schedule(id, cause, limit);
    }

    fn make_ready(&mut self, id: Id, port: u16) {
        let Some(connection) = self.connections.get_mut(id) else { return };
        connection.owner = Owner::Ready(port);
        connection.since = self.now;
        if let Some(listener) = self.listeners.get_mut(&port) {
            listener.ready.push_back(id);
            listener.waker.wake();
        }
    }

    /// Finds out when the connection wants to be looked at again.
    fn schedule(&mut self, id: Id, cause: Cause, limit: Option<Instant>) {
        let Some(connection) = self.connections.get_mut(id) else { return };
        let mut wanted = self.interface.poll_at(self.now, &connection.set);
        if connection.revive(wanted.is_some()) {
            wanted = Some(self.now);
        }
        let is_due = wanted.is_some_and(|deadline| deadline <= self.now);
        if !is_due && self.retire(id) {
            return;
        }
        let mut deadline = match wanted {
            // It had its chance and did not take it. Whatever it waits for, do not spin.
            Some(_) if is_due && matches!(cause, Cause::Output(_)) && self.port.has_room() => {
                Some(self.now + STALL_TIME)
            }
            Some(_) if is_due => {
                self.mark_dirty(id);
                None
            }
            wanted => wanted,
        };
        if let Some(limit) = limit
            && deadline.is_none_or(|deadline| limit < deadline)
        {
            deadline = Some(limit);
        }
        if let Some(deadline) = deadline {
            self.deadlines.at_latest(id.slot(), deadline);
        }
    }
}
