//! What is left of connections that this side has closed first (RFC 9293 section 3.6.1).
//!
//! The peer may not have got the acknowledgement of its FIN and repeat it. Answering that takes a
//! few bytes, not a socket with its buffers, and the number of those entries is bounded: with too
//! many, the oldest is forgotten, and its peer would get a reset instead, after it has sent and
//! received everything.

use alloc::collections::VecDeque;

use smoltcp::{
    time::{Duration, Instant},
    wire::TcpSeqNumber,
};

use super::segment::{ACK, FIN, RST, SYN, Tcp};
use crate::net::{
    emit,
    flow_map::{FlowMap, Id},
    stack::Stack,
    wire::{Flow, Segment},
};

/// Entries that are kept.
const MAX_ENTRIES: usize = 1024;
/// How long an entry is kept: the peer repeats its FIN at growing intervals.
const LIFETIME: Duration = Duration::from_secs(60);

struct Entry {
    /// The sequence number after the peer's FIN.
    end_of_input: TcpSeqNumber,
    until: Instant,
}

/// See the module.
pub(in crate::net) struct TimeWait {
    entries: FlowMap<Entry>,
    /// The entries in the order in which they expire, and some that are gone by now.
    order: VecDeque<Id>,
}

/// What to do with a segment of a flow without a connection.
enum Verdict {
    Unknown,
    Ignore,
    Acknowledge(TcpSeqNumber),
    Reopen(Id),
}

impl TimeWait {
    /// No entries, with the key of a hash.
    pub(in crate::net) const fn new(key: u64) -> Self {
        Self { entries: FlowMap::new(key), order: VecDeque::new() }
    }

    /// Whether there is an entry for the flow.
    pub(in crate::net) fn contains(&self, flow: &Flow) -> bool {
        self.entries.find(flow).is_some()
    }

    /// Keeps a flow in mind whose peer has sent its FIN before `end_of_input`.
    pub(in crate::net) fn add(&mut self, flow: Flow, end_of_input: i32, now: Instant) {
        if self.order.len() >= MAX_ENTRIES
            && let Some(oldest) = self.order.pop_front()
        {
            self.entries.remove(oldest);
        }
        let entry = Entry { end_of_input: TcpSeqNumber(end_of_input), until: now + LIFETIME };
        if !self.contains(&flow)
            && self.order.try_reserve(1).is_ok()
            && let Ok(id) = self.entries.insert(flow, entry)
        {
            self.order.push_back(id);
        }
    }

    /// When the first entry expires.
    pub(in crate::net) fn deadline(&self) -> Option<Instant> {
        // Those that are gone lie around until their time would have come.
        self.order.iter().find_map(|id| self.entries.get(*id)).map(|entry| entry.until)
    }

    /// Forgets what has expired.
    pub(in crate::net) fn expire(&mut self, now: Instant) {
        while let Some(&id) = self.order.front() {
            if self.entries.get(id).is_some_and(|entry| entry.until > now) {
                return;
            }
            self.order.pop_front();
            self.entries.remove(id);
        }
        self.order = VecDeque::new();
    }

    fn judge(&self, flow: &Flow, tcp: &Tcp) -> Verdict {
        let Some(id) = self.entries.find(flow) else { return Verdict::Unknown };
        let Some(entry) = self.entries.get(id) else { return Verdict::Unknown };
        match tcp.flags & (SYN | ACK | RST | FIN) {
            // RFC 1337: a reset must not cut the wait short.
            flags if flags & RST != 0 => Verdict::Ignore,
            // RFC 9293 section 3.6.1: a new connection may begin beyond the old one.
            SYN if tcp.sequence > entry.end_of_input => Verdict::Reopen(id),
            flags if flags & (SYN | FIN) != 0 || tcp.payload > 0 => {
                Verdict::Acknowledge(entry.end_of_input)
            }
            _ => Verdict::Ignore,
        }
    }
}

impl Stack {
    /// Deals with a segment for a connection that was. Returns whether it was one.
    pub(super) fn input_time_wait(&mut self, bytes: &[u8], segment: &Segment, tcp: &Tcp) -> bool {
        match self.time_wait.judge(&segment.flow, tcp) {
            Verdict::Unknown => return false,
            Verdict::Ignore => {}
            Verdict::Acknowledge(next) => {
                emit::acknowledge(&mut self.port, bytes, &segment.flow, tcp.acknowledgement, next);
            }
            Verdict::Reopen(id) => {
                self.time_wait.entries.remove(id);
                return false;
            }
        }
        true
    }
}
