//! When buffers grow and shrink.
//!
//! The receive buffer grows when the peer has filled it several times over. One that is far away
//! cannot fill it while the app is quick to read, however much it has to send; so whole segments
//! count as well, but less. The send buffer grows when the app has more to write than fits several
//! times over, both to what the options and the memory allow. `rebuild` needs the send buffer empty
//! for that: a writer is held off until the peer has acknowledged what was written before, once. One
//! whose peer has closed its window is not, because the peer may wait for what is to be written.

use smoltcp::{
    time::{Duration, Instant},
    wire::EthernetAddress,
};

use super::{
    connection::{Connection, Owner},
    options::receive_size,
    rebuild::rebuild,
    window::MAX_PLAIN,
};
use crate::{
    memory,
    net::{flow_map::Id, phy::Phy, stack::Stack},
};

/// How often a buffer must have been too small, in multiples of itself.
const PRESSURE: usize = 2;
/// The part of the bytes that count when they come in whole segments but do not fill the buffer.
const BULK: usize = 4;
/// The part of the free memory that a buffer may take.
const SHARE: usize = 8;
/// What growing leaves to all others, in bytes.
const RESERVE: usize = 256 * 1024;
/// How many times as large a receive buffer becomes at most in one step: a peer that sends much
/// once does not get all.
const FACTOR: usize = 16;
/// After so long without a segment, large buffers are returned.
const IDLE_TIME: Duration = Duration::from_secs(10);

impl Connection {
    /// Notes that `length` bytes were read when `queued` bytes were there, a segment or more.
    #[cold]
    pub(super) fn note_read(&mut self, queued: usize, length: usize) {
        let segment = self.segment;
        let was_full = queued + segment > self.socket().recv_capacity();
        let counts = if was_full { length } else { length / BULK };
        self.receive_pressure = self.receive_pressure.saturating_add(counts);
    }

    /// Notes that `length` bytes were to be written and none of them fit.
    pub(super) fn note_full(&mut self, length: usize) {
        self.send_pressure = self.send_pressure.saturating_add(length);
    }

    fn wants_to_receive_more(&mut self) -> bool {
        let capacity = self.socket().recv_capacity();
        self.receive_pressure > capacity * PRESSURE
            && capacity < self.most_to_receive()
            && !self.has_gap
    }

    /// How large the receive buffer may become, with a peer as the last SYN shows it.
    fn most_to_receive(&self) -> usize {
        let most = self.options.max_receive_buffer;
        if self.peer.scales() { most } else { most.min(MAX_PLAIN) }
    }

    fn wants_to_send_more(&mut self) -> bool {
        let capacity = self.socket().send_capacity();
        self.send_pressure > capacity * PRESSURE && capacity < self.options.max_send_buffer
    }

    /// Whether buffers may be too small.
    pub(super) fn is_pressed(&self) -> bool {
        self.receive_pressure > 0 || self.send_pressure > 0
    }

    /// The size of a receive buffer that is larger than the present one.
    fn larger_receive(&mut self) -> Option<usize> {
        let (max, segment) = (self.most_to_receive(), self.segment);
        let now = self.socket().recv_capacity();
        let size = affordable(now, max.min(now.saturating_mul(FACTOR)), free_memory())?;
        Some(receive_size(size, segment).min(max)).filter(|size| *size > now)
    }

    /// The same of a send buffer.
    fn larger_send(&mut self) -> Option<usize> {
        let now = self.socket().send_capacity();
        affordable(now, self.options.max_send_buffer, free_memory())
    }

    /// When the buffers are returned unless a segment comes before, if they have grown.
    pub(super) fn shrinks_at(&self) -> Option<Instant> {
        (self.has_grown && self.owner == Owner::Stream).then(|| self.heard_at + IDLE_TIME)
    }
}

impl Stack {
    /// After a read, and before a write: gives the connection larger buffers if it needs some.
    /// Returns false if a writer should wait for that.
    pub(super) fn grow(&mut self, id: Id) -> bool {
        let Some(connection) = self.connections.get_mut(id) else { return true };
        let receives = connection.wants_to_receive_more();
        let sends = connection.wants_to_send_more();
        if !receives && !sends {
            return true;
        }
        if connection.socket().send_queue() > 0 {
            return connection.peer_window == 0 || !connection.socket().may_send();
        }
        let receive = receives.then(|| connection.larger_receive()).flatten();
        let send = sends.then(|| connection.larger_send()).flatten();
        if receives {
            connection.receive_pressure = 0;
        }
        if sends {
            connection.send_pressure = 0;
        }
        if receive.or(send).is_some() {
            let socket = connection.socket();
            let now = (socket.recv_capacity(), socket.send_capacity());
            self.resize(id, (receive.unwrap_or(now.0), send.unwrap_or(now.1)));
        }
        true
    }

    /// Returns the buffers of a connection that has been idle.
    pub(super) fn shrink(&mut self, id: Id) {
        let Some(connection) = self.connections.get_mut(id) else { return };
        let is_due = connection.shrinks_at().is_some_and(|at| at <= self.now);
        if is_due && connection.socket().recv_queue() == 0 {
            let options = &connection.options;
            let sizes = (options.receive_buffer, options.send_buffer);
            self.resize(id, sizes);
        }
    }

    fn resize(&mut self, id: Id, sizes: (usize, usize)) {
        self.update_clock();
        let Some(flow) = self.connections.flow(id) else { return };
        if !self.port.has_room() {
            return;
        }
        let Some(connection) = self.connections.get_mut(id) else { return };
        let device = (&self.port.capabilities, EthernetAddress(self.port.info.mac));
        let Some(probe) = rebuild(connection, &flow, sizes, device, self.now) else {
            return;
        };
        let first = (connection.options.receive_buffer, connection.options.send_buffer);
        connection.has_grown = sizes != first;
        self.port.stats.resized_buffers += 1;
        // It believes to have told the peer its window. Asked by the peer, it does.
        let mut phy = Phy::input(&mut self.port, probe.bytes()).revising(&mut connection.revision);
        self.interface.poll_ingress_single(self.now, &mut phy, &mut connection.set);
        self.wake_runner();
    }
}

/// The size between `now` and `max`, as large as `free` bytes of memory allow, that a buffer may
/// have; `None` if it cannot be larger than it is.
fn affordable(now: usize, max: usize, free: usize) -> Option<usize> {
    let free = free.saturating_sub(RESERVE);
    let mut size = max;
    while size > now && size > free / SHARE {
        size /= 2;
    }
    (size > now).then_some(size)
}

/// Bytes of memory that nobody uses.
pub(in crate::net) fn free_memory() -> usize {
    let memory = memory::stats();
    // The host does not say how much it has.
    match memory.total_frames {
        0 => usize::MAX,
        _ => memory.free_frames.saturating_mul(memory::PAGE_SIZE),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn growing_leaves_memory_to_others() {
        const MEBIBYTE: usize = 1 << 20;
        assert_eq!(affordable(4096, 65_536, usize::MAX), Some(65_536));
        assert_eq!(affordable(4096, 65_536, MEBIBYTE), Some(65_536));
        // An eighth of what is beyond the reserve.
        assert_eq!(affordable(4096, 65_536, 2 * RESERVE), Some(32_768));
        assert_eq!(affordable(4096, 65_536, RESERVE + 40_960), None);
        assert_eq!(affordable(4096, 65_536, RESERVE), None);
        assert_eq!(affordable(4096, 65_536, 0), None);
    }
}
