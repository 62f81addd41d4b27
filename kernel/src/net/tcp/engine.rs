//! What the stack does with TCP segments and connections.

use alloc::collections::VecDeque;

use mayfly_device::FrameBuf;
use smoltcp::{
    iface::PollResult,
    socket::tcp::State,
    time::{Duration, Instant},
};

use super::{
    connection::{Connection, Owner, Turn},
    orphan::LINGER_TIME,
    progress::Standing,
    segment::{FIN, RST, SYN, Tcp},
};
use crate::net::{
    Error,
    flow_map::Id,
    phy::Phy,
    slot_set::SlotSet,
    stack::Stack,
    wire::{Flow, Segment},
};

/// How long a handshake may take.
const HANDSHAKE_TIME: Duration = Duration::from_secs(60);
/// Segments that one connection may send before others have their turn.
const MAX_BURST: usize = 16;
/// The same where segments are put together: those of a packet that is as long as can be.
const MAX_MERGED_BURST: usize = 46;
/// When to look again at a connection that wants to send but sends nothing.
const STALL_TIME: Duration = Duration::from_millis(100);
/// What is due later than this is none of the acknowledgements that smoltcp 0.14 delays.
const QUIET_TIME: Duration = Duration::from_millis(100);

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
        if tcp.is_request() && self.listeners.contains(flow.local.port) {
            self.request(bytes, segment);
        } else {
            // smoltcp answers with a reset.
            self.input_base(bytes);
        }
    }

    /// Takes a segment of a connection in.
    pub(super) fn input_connection(&mut self, id: Id, bytes: &[u8], segment: &Segment) {
        let Some(connection) = self.connections.get_mut(id) else { return };
        let Some(mut tcp) = Tcp::of(bytes, segment) else { return };
        if tcp.flags & SYN != 0 {
            connection.hear_options(bytes.get(segment.start..segment.end).unwrap_or_default());
        }
        let repaired = connection.progress.repair(bytes, segment, &tcp);
        let repaired = repaired.or_else(|| connection.repeat_window(bytes, segment, &mut tcp));
        let before = Standing::of(connection.socket());
        let mut phy = Phy::input(&mut self.port, repaired.as_deref().unwrap_or(bytes))
            .revising(&mut connection.revision);
        self.interface.poll_ingress_single(self.now, &mut phy, &mut connection.set);
        let socket = connection.socket();
        let after = Standing::of(socket);
        let is_alive = after.state != State::Closed;
        let is_news = connection.progress.note(&tcp, before, after);
        if after.is_acknowledged(before) {
            let is_all = after.sent == 0;
            connection.retransmission.acknowledged(tcp.acknowledgement, is_all, self.now);
        }
        if tcp.payload > 0 {
            connection.has_gap = after.received == before.received;
        }
        if connection.progress.is_current(&tcp) {
            connection.revision.hear(&tcp, connection.peer.window_scale);
            connection.hear_window(&tcp, is_news);
            connection.hear_life(self.now);
        }
        if connection.closes_later {
            connection.close();
        }
        let cause = if tcp.flags & RST != 0 { Cause::Reset } else { Cause::Input };
        let is_plain = tcp.payload == 0 && tcp.flags & (SYN | RST | FIN) == 0;
        // Nothing follows for a stream that lives on.
        let needs_care = connection.owner != Owner::Stream || !is_alive;
        if (!needs_care || self.follow(id, cause)) && !(is_plain && self.is_quiet(id)) {
            self.line_up(id, Turn::Check);
        }
    }

    /// Whether an acknowledgement has left nothing to do: all is acknowledged, and no deadline that
    /// is not in the books already can follow from it.
    fn is_quiet(&mut self, id: Id) -> bool {
        let Some(connection) = self.connections.get_mut(id) else { return false };
        let is_healthy = connection.owner == Owner::Stream && !connection.is_revived();
        let socket = connection.socket();
        is_healthy && socket.send_queue() == 0 && socket.state() == State::Established
    }

    /// Does something about each connection, which may end by it.
    pub(in crate::net) fn for_each_connection(&mut self, mut act: impl FnMut(&mut Self, Id)) {
        for slot in 0..self.connections.slots() as u32 {
            if let Some(id) = self.connections.id_of_slot(slot) {
                act(self, id);
            }
        }
    }

    /// Adds a connection to all tables. `None` if there is no memory for that.
    pub(super) fn add_connection(&mut self, flow: Flow, connection: Connection) -> Option<Id> {
        let id = self.connections.insert(flow, connection).ok();
        let slots = self.connections.slots();
        // Half of the line may be taken by connections that are no more, see `line_up`.
        let places = (2 * slots).saturating_sub(self.line.len());
        let is_reserved = self.deadlines.reserve(slots)
            && self.line.try_reserve(places).is_ok()
            && self.neighbor_waiters.reserve(slots);
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
        self.neighbor_waiters.remove(id.slot());
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
                let Some(listener) = self.listeners.get_mut(port) else { return };
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
        self.line = VecDeque::new();
        self.neighbor_waiters = SlotSet::new();
    }

    /// Puts a connection into the line of those that are looked at next.
    pub(in crate::net) fn line_up(&mut self, id: Id, turn: Turn) {
        let Some(connection) = self.connections.get_mut(id) else { return };
        let before = connection.turn;
        connection.turn = before.max(turn);
        if before == Turn::None {
            if self.line.len() == self.line.capacity() {
                self.tidy_line();
            }
            self.line.push_back(id);
        }
    }

    /// Takes connections out of the line that are no more. Each of the others is there once, so that
    /// there are places again: as many as there are connections, for which there is memory.
    #[cold]
    fn tidy_line(&mut self) {
        let connections = &self.connections;
        self.line.retain(|id| connections.get(*id).is_some());
    }

    /// Puts a connection into line that probably has something to send.
    pub(in crate::net) fn line_up_to_send(&mut self, id: Id) {
        self.line_up(id, Turn::Send);
    }

    /// Looks at a connection, and lets it send if it wants to. Returns false if the device has no
    /// room for more.
    pub(in crate::net) fn serve(&mut self, id: Id) -> bool {
        let Some(connection) = self.connections.get_mut(id) else { return true };
        let turn = core::mem::take(&mut connection.turn);
        if connection.is_retired {
            return true;
        }
        let is_missing = connection.retransmission.deadline().is_some_and(|due| due <= self.now);
        let socket = connection.socket();
        let (state, payload) = (socket.state(), socket.send_capacity());
        // What is longer than the MTU is only made for IPv4.
        let is_ipv6 = self.connections.flow(id).is_some_and(|flow| flow.is_ipv6());
        let payload = if is_ipv6 { 0 } else { payload };
        let mut wanted = if turn == Turn::Send { Some(self.now) } else { self.wanted(id) };
        let mut is_stalled = false;
        let frames = self.port.stats.sent_frames;
        let mut burst = if self.port.merges() { MAX_MERGED_BURST } else { MAX_BURST };
        while wanted.is_some_and(|deadline| deadline <= self.now) && burst > 0 && !is_stalled {
            if !self.port.has_room() {
                self.line_up_to_send(id);
                return false;
            }
            let asks = is_missing && self.resend(id);
            let Some(connection) = self.connections.get_mut(id) else { return true };
            let mut phy = Phy::output(&mut self.port, payload).revising(&mut connection.revision);
            let result = self.interface.poll_egress(self.now, &mut phy, &mut connection.set);
            is_stalled = result == PollResult::None;
            if asks && connection.revision.sent.is_none() {
                connection.retransmission.postpone();
            }
            connection.note_sent(self.now);
            if !is_stalled && connection.has_sent_all(self.port.last_segment()) {
                // What comes next is an acknowledgement, or else at this time a look at the timers.
                if let Some(deadline) = connection.retransmission.deadline() {
                    self.deadlines.at_latest(id.slot(), deadline);
                }
                return true;
            }
            burst -= 1;
            wanted = self.wanted(id);
        }
        if is_stalled && frames == self.port.stats.sent_frames && self.waits_to_ask(wanted) {
            let flow = self.connections.flow(id);
            flow.into_iter().for_each(|flow| self.ask_for(&flow.remote.addr));
        }
        if self.follow(id, Cause::Output(state)) {
            self.schedule(id, wanted, is_stalled);
        }
        true
    }

    /// When smoltcp wants to send for the connection, or to look at its timers.
    fn wanted(&mut self, id: Id) -> Option<Instant> {
        let connection = self.connections.get_mut(id)?;
        let wanted = self.interface.poll_at(self.now, &connection.set);
        let mut helps = wanted;
        if let timeout @ Some(_) = connection.socket().timeout() {
            // That it ends some time does not help it on.
            connection.socket().set_timeout(None);
            helps = self.interface.poll_at(self.now, &connection.set);
            connection.socket().set_timeout(timeout);
        }
        let again = connection.retransmission.deadline();
        if connection.revive(helps.or(again).is_some()) {
            return Some(self.now);
        }
        wanted.into_iter().chain(again).min()
    }

    /// Sees to it that the connection is looked at again in time.
    fn schedule(&mut self, id: Id, wanted: Option<Instant>, is_stalled: bool) {
        let is_due = wanted.is_some_and(|deadline| deadline <= self.now);
        // An acknowledgement may wait for a moment.
        let is_quiet = wanted.is_none_or(|deadline| deadline > self.now + QUIET_TIME);
        if is_quiet && self.retire(id) {
            return;
        }
        if !is_due {
            self.shrink(id);
        }
        if self.connections.get(id).is_none() {
            return;
        }
        let mut deadline = wanted;
        if is_stalled {
            // It may wait for the answer to a question that smoltcp has asked the link.
            self.neighbor_waiters.insert(id.slot());
            // Whatever it waits for, do not spin.
            if is_due {
                deadline = Some(self.now + STALL_TIME);
            }
        } else if is_due {
            self.line_up_to_send(id);
            deadline = None;
        }
        for deadline in [deadline, self.limit(id)].into_iter().flatten() {
            self.deadlines.at_latest(id.slot(), deadline);
        }
    }

    /// Until when the connection may exist in its present state.
    fn limit(&self, id: Id) -> Option<Instant> {
        let connection = self.connections.get(id)?;
        match connection.owner {
            Owner::HalfOpen(_) => Some(connection.since + HANDSHAKE_TIME),
            Owner::Orphan => Some(connection.since + LINGER_TIME),
            Owner::Stream => connection.shrinks_at().filter(|at| *at > self.now),
            Owner::Ready(_) => None,
        }
    }

    /// Wakes the connections that may wait for a neighbour's address: one has been learned.
    pub(in crate::net) fn neighbor_learned(&mut self) {
        while let Some(slot) = self.neighbor_waiters.pop() {
            if let Some(id) = self.connections.id_of_slot(slot) {
                self.line_up_to_send(id);
            }
        }
    }

    /// Does what follows from the state that a connection has reached. Returns whether it still
    /// exists.
    fn follow(&mut self, id: Id, cause: Cause) -> bool {
        let Some(connection) = self.connections.get_mut(id) else { return false };
        let state = connection.socket().state();
        let is_over = match connection.owner {
            Owner::Stream => {
                if state == State::Closed {
                    connection.error = connection.error.or(cause.error());
                    self.detach(id, cause);
                }
                false
            }
            Owner::HalfOpen(port) => match state {
                State::Listen | State::Closed => true,
                State::SynReceived => self.now >= connection.since + HANDSHAKE_TIME,
                _ => {
                    self.make_ready(id, port);
                    false
                }
            },
            Owner::Ready(_) => state == State::Closed,
            Owner::Orphan => self.orphan_is_over(id),
        };
        if is_over {
            self.discard(id);
        }
        !is_over
    }

    /// The connection is over, but its stream still exists. Segments that come for it now are
    /// those of a connection that was.
    fn detach(&mut self, id: Id, cause: Cause) {
        self.connections.detach(id);
        if cause == Cause::Output(State::TimeWait) {
            self.remember(id);
        }
    }

    fn make_ready(&mut self, id: Id, port: u16) {
        let Some(connection) = self.connections.get_mut(id) else { return };
        connection.owner = Owner::Ready(port);
        connection.since = self.now;
        if let Some(listener) = self.listeners.get_mut(port) {
            listener.ready.push_back(id);
            listener.waker.wake();
        }
    }
}

impl Cause {
    /// Why a connection is closed now that was not before, unless both sides wanted it.
    fn error(self) -> Option<Error> {
        match self {
            Self::Reset => Some(Error::Reset),
            Self::Output(State::Closed | State::TimeWait) | Self::Input => None,
            Self::Output(_) => Some(Error::TimedOut),
        }
    }
}
