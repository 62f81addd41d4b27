//! What the stack does with TCP segments and connections.

use alloc::collections::VecDeque;

use mayfly_device::FrameBuf;
use smoltcp::{
    socket::tcp::State,
    time::{Duration, Instant},
};

use super::connection::{Connection, Owner};
use crate::net::{
    Error, TcpOptions, flow_map::Id, port::Phy, stack::Stack, waker::WakerSlot, wire::Segment,
};

/// How long a handshake may take.
const HANDSHAKE_TIME: Duration = Duration::from_secs(15);
/// How long a connection without an owner may take to send what is left and close.
const LINGER_TIME: Duration = Duration::from_secs(30);
/// Segments that one connection may send before others have their turn.
const MAX_BURST: usize = 16;
/// When to look again at a connection that wants to send but sends nothing.
const STALL_TIME: Duration = Duration::from_millis(100);

/// TCP header flags (RFC 9293 section 3.1).
const FIN: u8 = 0x01;
const SYN: u8 = 0x02;
const RST: u8 = 0x04;
const ACK: u8 = 0x10;

/// A port that accepts connections.
pub(in crate::net) struct Listener {
    /// Connections that may be half open or wait to be accepted.
    pub(in crate::net) backlog: usize,
    /// Connections that are.
    pub(in crate::net) pending: usize,
    /// Those that wait to be accepted, and some that are gone by now.
    pub(in crate::net) ready: VecDeque<Id>,
    pub(in crate::net) waker: WakerSlot,
    pub(in crate::net) options: TcpOptions,
}

/// What has just happened to a connection.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Cause {
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
        match self.connections.find(flow) {
            Some(id) => self.input_connection(id, bytes, segment),
            None => self.input_unconnected(bytes, segment),
        }
    }

    fn input_connection(&mut self, id: Id, bytes: &[u8], segment: &Segment) {
        let Some(connection) = self.connections.get_mut(id) else { return };
        let mut phy = Phy { port: &mut self.port, frame: Some(bytes) };
        self.interface.poll_ingress_single(self.now, &mut phy, &mut connection.set);
        let flags = flags(bytes, segment);
        if flags & FIN != 0 {
            connection.end_of_input = end_of(bytes, segment);
        }
        self.settle(id, if flags & RST != 0 { Cause::Reset } else { Cause::Input });
    }

    fn input_unconnected(&mut self, bytes: &[u8], segment: &Segment) {
        let flags = flags(bytes, segment);
        let is_request = flags & (SYN | ACK | RST | FIN) == SYN;
        if is_request && self.listeners.contains_key(&segment.flow.local.port) {
            self.open(bytes, segment);
        } else {
            // smoltcp answers with a reset.
            self.input_base(bytes);
        }
    }

    /// Makes a connection for a request, if the listener may have another.
    fn open(&mut self, bytes: &[u8], segment: &Segment) {
        let local = segment.flow.local;
        let Some(listener) = self.listeners.get_mut(&local.port) else { return };
        if listener.pending >= listener.backlog {
            self.port.stats.dropped_requests += 1;
            return;
        }
        let options = listener.options;
        let owner = Owner::HalfOpen(local.port);
        let Some(mut connection) = Connection::new(&options, owner, self.now) else {
            self.port.stats.out_of_memory += 1;
            return;
        };
        if connection.socket().listen(local).is_err() {
            return;
        }
        let Some(id) = self.insert(segment, connection) else { return };
        if let Some(listener) = self.listeners.get_mut(&local.port) {
            listener.pending += 1;
        }
        self.input_connection(id, bytes, segment);
    }

    fn insert(&mut self, segment: &Segment, connection: Connection) -> Option<Id> {
        let id = self.add_connection(segment.flow, connection);
        if id.is_none() {
            self.port.stats.out_of_memory += 1;
        }
        id
    }

    /// Adds a connection to all tables. `None` if there is no memory for that.
    pub(in crate::net) fn add_connection(
        &mut self,
        flow: crate::net::wire::Flow,
        connection: Connection,
    ) -> Option<Id> {
        let id = self.connections.insert(flow, connection).ok()?;
        let slots = self.connections.slots();
        let reserved = self.deadlines.reserve(slots)
            && self.dirty.try_reserve(slots.saturating_sub(self.dirty.len())).is_ok()
            && self
                .neighbor_waiters
                .try_reserve(slots.saturating_sub(self.neighbor_waiters.len()))
                .is_ok();
        if !reserved {
            self.connections.remove(id);
            return None;
        }
        self.port.stats.connections = self.connections.len() as u32;
        Some(id)
    }

    /// Forgets a connection without telling the peer.
    pub(in crate::net) fn discard(&mut self, id: Id) {
        let Some(connection) = self.connections.remove(id) else { return };
        self.deadlines.remove(id.slot());
        self.deadlines.give_back();
        self.port.stats.connections = self.connections.len() as u32;
        if let Owner::HalfOpen(port) | Owner::Ready(port) = connection.owner
            && let Some(listener) = self.listeners.get_mut(&port)
        {
            listener.pending -= 1;
        }
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
        let before = self.port.stats.sent_frames;
        for _ in 0..MAX_BURST {
            let mut phy = Phy { port: &mut self.port, frame: None };
            let result = self.interface.poll_egress(self.now, &mut phy, &mut connection.set);
            if result == smoltcp::iface::PollResult::None {
                break;
            }
        }
        let has_room = self.port.has_room();
        if has_room && self.port.stats.sent_frames == before {
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
    pub(super) fn settle(&mut self, id: Id, cause: Cause) {
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
                    limit = Some(connection.since + HANDSHAKE_TIME);
                    if limit <= Some(self.now) {
                        return self.discard(id);
                    }
                }
                _ => self.make_ready(id, port),
            },
            Owner::Ready(_) if state == State::Closed => return self.discard(id),
            Owner::Ready(_) => {}
            Owner::Orphan => {
                limit = Some(connection.since + LINGER_TIME);
                if self.settle_orphan(id) {
                    return;
                }
            }
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

    /// Returns whether the connection is gone.
    fn settle_orphan(&mut self, id: Id) -> bool {
        let Some(connection) = self.connections.get_mut(id) else { return true };
        let over = self.now >= connection.since + LINGER_TIME;
        let socket = connection.socket();
        // Nobody reads it, but the peer must be able to go on to its own FIN.
        while socket.recv(|bytes| (bytes.len(), bytes.len())).is_ok_and(|length| length > 0) {}
        let reset_is_sent = socket.remote_endpoint().is_none();
        match socket.state() {
            State::Closed if reset_is_sent || over => self.discard(id),
            State::TimeWait if over => self.discard(id),
            State::Closed => return false,
            _ if over => {
                socket.abort();
                self.mark_dirty(id);
                return false;
            }
            _ => return false,
        }
        true
    }

    /// Finds out when the connection wants to be looked at again.
    fn schedule(&mut self, id: Id, cause: Cause, limit: Option<Instant>) {
        let Some(connection) = self.connections.get_mut(id) else { return };
        let mut wanted = self.interface.poll_at(self.now, &connection.set);
        if connection.revive(wanted.is_some()) {
            wanted = Some(self.now);
        }
        let mut deadline = match wanted {
            Some(deadline) if deadline > self.now => Some(deadline),
            // It had its chance and did not take it. Whatever it waits for, do not spin.
            Some(_) if matches!(cause, Cause::Output(_)) && self.port.has_room() => {
                Some(self.now + STALL_TIME)
            }
            Some(_) => {
                self.mark_dirty(id);
                None
            }
            None => None,
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

fn flags(bytes: &[u8], segment: &Segment) -> u8 {
    bytes.get(segment.start + 13).copied().unwrap_or(0)
}

/// The sequence number after the last byte and the FIN of a segment.
fn end_of(bytes: &[u8], segment: &Segment) -> Option<i32> {
    let header = bytes.get(segment.start..segment.end)?;
    let length = segment.end - segment.start - usize::from(*header.get(12)? >> 4) * 4;
    let sequence = i32::from_be_bytes(*header.get(4..)?.first_chunk()?);
    Some(sequence.wrapping_add(length as i32).wrapping_add(1))
}
