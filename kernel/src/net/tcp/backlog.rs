//! Requests for connections: how many a listener takes, and what becomes of the others.
//!
//! A listener has a bounded number of connections that are half open or wait to be accepted. The
//! requests beyond that wait themselves, as the few bytes that they are, and are answered as soon
//! as there is room; those that find no room there either are dropped, which makes the client ask
//! again. Nobody is refused.

use alloc::{boxed::Box, collections::VecDeque, vec::Vec};

use smoltcp::{
    time::{Duration, Instant},
    wire::IpEndpoint,
};

use super::{
    TcpOptions,
    connection::{Connection, Owner},
    grow::free_memory,
    peer_options::PeerOptions,
};
use crate::net::{
    flow_map::Id,
    stack::Stack,
    waker::WakerSlot,
    wire::{Class, Flow, Segment, classify},
};

/// Requests that may wait, for each connection that may.
const REQUESTS_PER_CONNECTION: usize = 8;
/// How long a request waits. By then the client has sent another one (RFC 6298 section 2.1).
const REQUEST_TIME: Duration = Duration::from_secs(1);
/// Longest frame of a request: Ethernet, IPv6 and TCP with all options.
const MAX_REQUEST: usize = 14 + 40 + 60;
/// Bytes of memory that are left to those who are connected, and to the app: with less, nobody else
/// is let in, and no datagram is copied.
pub(in crate::net) const LAST_MEMORY: usize = 64 * 1024;

struct Request {
    frame: Box<[u8]>,
    since: Instant,
}

/// A port that accepts connections.
pub(in crate::net) struct Listener {
    /// Connections that may be half open or wait to be accepted.
    backlog: usize,
    /// Connections that are.
    pub(in crate::net) pending: usize,
    /// Those that wait to be accepted, in order.
    pub(in crate::net) ready: VecDeque<Id>,
    requests: VecDeque<Request>,
    /// Whether those are being answered.
    is_answering: bool,
    /// Whether somebody has found no room lately.
    pub(super) is_crowded: bool,
    pub(in crate::net) waker: WakerSlot,
    options: TcpOptions,
}

impl Listener {
    /// Whether there may be another connection.
    pub(super) fn has_room(&self) -> bool {
        self.pending < self.backlog
    }

    /// Makes sure that all its connections, and one more, can be ready at once. Returns whether there
    /// was memory for that.
    fn reserve(&mut self) -> bool {
        let more = (self.pending + 1).saturating_sub(self.ready.len());
        self.ready.try_reserve(more).is_ok()
    }

    /// A listener without connections.
    pub(super) fn new(backlog: usize, options: TcpOptions) -> Self {
        Self {
            backlog: backlog.max(1),
            pending: 0,
            ready: VecDeque::new(),
            requests: VecDeque::new(),
            is_answering: false,
            is_crowded: false,
            waker: WakerSlot::new(),
            options,
        }
    }

    /// Keeps a request for later. Returns false if it has to be dropped.
    fn keep(&mut self, bytes: &[u8], segment: &Segment, now: Instant) -> bool {
        let Some(bytes) = bytes.get(..segment.end) else { return false };
        if bytes.len() > MAX_REQUEST
            || self.requests.len() >= self.backlog.saturating_mul(REQUESTS_PER_CONNECTION)
            || self.requests.try_reserve(1).is_err()
        {
            return false;
        }
        let mut frame = Vec::new();
        if frame.try_reserve_exact(bytes.len()).is_err() {
            return false;
        }
        frame.extend_from_slice(bytes);
        self.requests.push_back(Request { frame: frame.into_boxed_slice(), since: now });
        true
    }
}

impl Stack {
    /// A request for a connection to a port with a listener has come in.
    pub(super) fn request(&mut self, bytes: &[u8], segment: &Segment) {
        let Some(listener) = self.listeners.get_mut(segment.flow.local.port) else { return };
        if listener.has_room() {
            return self.open(bytes, segment);
        }
        // After a flood of requests from nowhere, real clients get a place within seconds.
        listener.is_crowded = true;
        if !listener.keep(bytes, segment, self.now) {
            self.port.stats.dropped_requests += 1;
        }
        self.note_crowd();
    }

    /// Answers requests that wait, as long as there is room.
    pub(super) fn answer_requests(&mut self, port: u16) {
        let Some(listener) = self.listeners.get_mut(port) else { return };
        // A request that comes to nothing leaves room for the next, and leads here from within:
        // there may be more of them than the stack holds.
        if core::mem::replace(&mut listener.is_answering, true) {
            return;
        }
        self.answer_waiting(port);
        if let Some(listener) = self.listeners.get_mut(port) {
            listener.is_answering = false;
            if listener.requests.is_empty() {
                listener.requests = VecDeque::new();
            }
        }
    }

    fn answer_waiting(&mut self, port: u16) {
        while let Some(listener) = self.listeners.get_mut(port)
            && listener.has_room()
            && let Some(request) = listener.requests.pop_front()
        {
            let mac = self.port.info.mac;
            let is_fresh = self.now < request.since + REQUEST_TIME;
            if is_fresh
                && let Class::Tcp(segment) = classify(&request.frame, mac)
                && self.connections.find(&segment.flow).is_none()
            {
                self.open(&request.frame, &segment);
            }
        }
    }

    /// Makes a connection for a request.
    fn open(&mut self, bytes: &[u8], segment: &Segment) {
        let peer = PeerOptions::of(bytes.get(segment.start..segment.end).unwrap_or_default());
        let Some(connection) = self.half_open(segment.flow.local, &peer) else { return };
        let Some(id) = self.enroll(segment.flow, connection) else { return };
        self.input_connection(id, bytes, segment);
    }

    /// A connection that waits for the SYN of `peer` to the listener at `local`. `None` if there is
    /// no listener, or no memory for it.
    pub(super) fn half_open(
        &mut self,
        local: IpEndpoint,
        peer: &PeerOptions,
    ) -> Option<Connection> {
        let full = self.full_segment(&local.addr, peer);
        let listener = self.listeners.get(local.port)?;
        let owner = Owner::HalfOpen(local.port);
        let has_memory = free_memory() >= LAST_MEMORY;
        let connection =
            has_memory.then(|| Connection::new(&listener.options, full, owner, self.now));
        let Some(mut connection) = connection.flatten() else {
            self.port.stats.out_of_memory += 1;
            return None;
        };
        connection.socket().listen(local).ok()?;
        Some(connection)
    }

    /// Adds such a connection to the tables, and to what its listener has. `None` if there is no
    /// memory for that.
    pub(super) fn enroll(&mut self, flow: Flow, connection: Connection) -> Option<Id> {
        let port = flow.local.port;
        // Who ends a handshake finds its place.
        if self.listeners.get_mut(port).is_some_and(|listener| !listener.reserve()) {
            self.port.stats.out_of_memory += 1;
            return None;
        }
        let id = self.add_connection(flow, connection)?;
        if let Some(listener) = self.listeners.get_mut(port) {
            listener.pending += 1;
        }
        Some(id)
    }
}
