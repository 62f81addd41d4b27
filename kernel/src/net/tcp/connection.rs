//! One TCP connection: a smoltcp socket in a set of its own, and whose it is.
//!
//! smoltcp looks at every socket of a set for every segment. With one set for each connection it
//! looks at the right one only.

use alloc::vec::Vec;

use smoltcp::{
    iface::{SocketHandle, SocketSet, SocketStorage},
    socket::tcp::{CongestionControl, Socket, SocketBuffer},
    time::{Duration, Instant},
};

use crate::net::{Error, TcpOptions};

/// Time between two questions for the peer's window, when smoltcp asks none.
const PROBE_INTERVAL: Duration = Duration::from_secs(1);

/// Who looks after a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::net) enum Owner {
    /// The listener of this port; the handshake is under way.
    HalfOpen(u16),
    /// The listener of this port; the connection waits to be accepted.
    Ready(u16),
    /// A `TcpStream`.
    Stream,
    /// Nobody: what was written is still sent, what arrives is thrown away.
    Orphan,
}

/// Why a connection is to be looked at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::net) enum Turn {
    /// It is not.
    #[default]
    None,
    /// Something has come in: it may want to answer, or to be looked at later.
    Check,
    /// It probably has something to send.
    Send,
}

/// See the module.
pub(in crate::net) struct Connection {
    pub(in crate::net) set: SocketSet<'static>,
    handle: SocketHandle,
    pub(in crate::net) owner: Owner,
    /// Since when it has this owner.
    pub(in crate::net) since: Instant,
    /// Whether it stands in the line of those that are looked at next, and why.
    pub(in crate::net) turn: Turn,
    /// Whether it stands in the line of those that may wait for a neighbour's address.
    pub(in crate::net) waits_for_neighbor: bool,
    /// What the app asked for.
    pub(in crate::net) keep_alive: Option<Duration>,
    /// While the peer is asked for its window: bytes that waited to be acknowledged then.
    stalled_with: Option<usize>,
    /// Why it ended, if it ended by itself.
    pub(in crate::net) error: Option<Error>,
    /// The sequence number after the peer's FIN, once that has come.
    pub(in crate::net) end_of_input: Option<i32>,
}

impl Connection {
    /// A closed connection with buffers as `options` say. `None` if there is no memory for it.
    pub(in crate::net) fn new(options: &TcpOptions, owner: Owner, now: Instant) -> Option<Self> {
        let receive = zeroed(options.receive_buffer)?;
        let send = zeroed(options.send_buffer)?;
        let mut storage = Vec::new();
        storage.try_reserve_exact(1).ok()?;
        storage.push(SocketStorage::EMPTY);
        let mut socket = Socket::new(SocketBuffer::new(receive), SocketBuffer::new(send));
        socket.set_congestion_control(CongestionControl::Reno);
        let mut set = SocketSet::new(storage);
        let handle = set.add(socket);
        Some(Self {
            set,
            handle,
            owner,
            since: now,
            turn: Turn::None,
            waits_for_neighbor: false,
            keep_alive: None,
            stalled_with: None,
            error: None,
            end_of_input: None,
        })
    }

    /// Asks the peer for its window when smoltcp has data to send but no timer left.
    ///
    /// That happens in 0.14 when a segment closes the window while the retransmission timer runs
    /// (as an old one does that was overtaken): the timer expires into the closed window, and no
    /// probe is ever sent. A keep-alive segment makes the peer tell its window as a probe would.
    /// Returns whether the connection has stalled.
    pub(in crate::net) fn revive(&mut self, has_deadline: bool) -> bool {
        let keep_alive = self.keep_alive;
        let stalled_with = self.stalled_with;
        let socket = self.socket();
        let queued = socket.send_queue();
        if stalled_with.is_some_and(|before| queued < before) {
            socket.set_keep_alive(keep_alive);
            self.stalled_with = None;
        } else if !has_deadline && queued > 0 && stalled_with.is_none() {
            socket.set_keep_alive(Some(PROBE_INTERVAL));
            self.stalled_with = Some(queued);
            return true;
        }
        false
    }

    /// The socket.
    pub(in crate::net) fn socket(&mut self) -> &mut Socket<'static> {
        self.set.get_mut(self.handle)
    }
}

fn zeroed(length: usize) -> Option<Vec<u8>> {
    let mut buffer = Vec::new();
    buffer.try_reserve_exact(length).ok()?;
    buffer.resize(length, 0);
    Some(buffer)
}
