//! Connections whose stream is gone: they send what is left, say goodbye and return their memory.

use smoltcp::{socket::tcp::State, time::Duration};

use super::{connection::Owner, grow::free_memory};
use crate::net::{flow_map::Id, stack::Stack};

/// How long a connection without an owner may take to send what is left and close.
pub(super) const LINGER_TIME: Duration = Duration::from_secs(60);
/// How long the reset that ends it then may wait for room in the device.
const RESET_TIME: Duration = Duration::from_secs(1);
/// Connections without an owner. With more, those that take long are forgotten (`crowd`).
pub(super) const MANY_ORPHANS: usize = 256;
/// With so many, or when there is less memory free than this, a further one is reset at once: its
/// peer may lose the end of what was sent to it.
const MAX_ORPHANS: usize = 4096;
const RESERVE: usize = 256 * 1024;

impl Stack {
    /// Takes a connection over from its owner: resets it, or closes it in the background.
    pub(in crate::net) fn abandon(&mut self, id: Id, reset: bool) {
        self.update_clock();
        let now = self.now;
        let Some(connection) = self.connections.get_mut(id) else { return };
        let owner = connection.owner;
        if owner == Owner::Orphan {
            return;
        }
        // There is nobody to say goodbye to (RFC 9293 section 3.10.4).
        if connection.is_retired || connection.socket().state() == State::SynSent {
            return self.discard(id);
        }
        connection.owner = Owner::Orphan;
        connection.since = now;
        if reset {
            connection.socket().abort();
        } else {
            connection.close();
        }
        self.disown(id, owner);
        self.orphans += 1;
        if self.orphans > MANY_ORPHANS {
            self.hurry(id);
        }
        self.line_up_to_send(id);
        self.wake_runner();
    }

    /// There are many: resets the newest, if there is no room for more.
    fn hurry(&mut self, newest: Id) {
        self.note_crowd();
        if (self.orphans > MAX_ORPHANS || free_memory() < RESERVE)
            && let Some(connection) = self.connections.get_mut(newest)
        {
            connection.socket().abort();
        }
    }

    /// Whether an orphan is done.
    pub(super) fn orphan_is_over(&mut self, id: Id) -> bool {
        let Some(connection) = self.connections.get_mut(id) else { return true };
        let time_is_up = self.now >= connection.since + LINGER_TIME;
        let socket = connection.socket();
        // Nobody reads it, but the peer must be able to go on to its own FIN.
        while socket.recv(|bytes| (bytes.len(), bytes.len())).is_ok_and(|length| length > 0) {}
        if socket.state() == State::Closed {
            let is_reset_sent = socket.remote_endpoint().is_none();
            return is_reset_sent || time_is_up;
        }
        if time_is_up {
            socket.abort();
            connection.since = self.now + RESET_TIME - LINGER_TIME;
            self.line_up_to_send(id);
        }
        false
    }

    /// Replaces a connection that only waits for late segments by an entry of a few bytes. Returns
    /// whether it did.
    ///
    /// What a stream has not read stays; smoltcp would throw it away at the end of that time.
    pub(super) fn retire(&mut self, id: Id) -> bool {
        let Some(connection) = self.connections.get_mut(id) else { return false };
        if connection.socket().state() != State::TimeWait {
            return false;
        }
        connection.is_retired = true;
        let is_orphan = connection.owner == Owner::Orphan;
        self.remember(id);
        if is_orphan {
            self.discard(id);
        } else {
            self.connections.detach(id);
            self.deadlines.remove(id.slot());
        }
        true
    }

    /// Makes an entry in the time-wait table for a connection.
    pub(super) fn remember(&mut self, id: Id) {
        let end =
            self.connections.get(id).and_then(|connection| connection.progress.end_of_input());
        if let (Some(flow), Some(end)) = (self.connections.flow(id), end) {
            self.time_wait.add(flow, end, self.now);
            self.upkeep_is_due = true;
        }
    }
}
