//! One TCP connection: a smoltcp socket in a set of its own, and whose it is.
//!
//! smoltcp looks at every socket of a set for every segment. With one set for each connection it
//! looks at the right one only.

use alloc::vec::Vec;

use smoltcp::{
    iface::{SocketHandle, SocketSet, SocketStorage},
    socket::tcp::{CongestionControl, Socket, SocketBuffer},
    time::Instant,
};

use crate::net::{Error, TcpOptions};

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

/// See the module.
pub(in crate::net) struct Connection {
    pub(in crate::net) set: SocketSet<'static>,
    handle: SocketHandle,
    pub(in crate::net) owner: Owner,
    /// Since when it has this owner.
    pub(in crate::net) since: Instant,
    /// Whether it stands in the line of those that may have something to send.
    pub(in crate::net) dirty: bool,
    /// Whether it stands in the line of those that may wait for a neighbour's address.
    pub(in crate::net) waits_for_neighbor: bool,
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
            dirty: false,
            waits_for_neighbor: false,
            error: None,
            end_of_input: None,
        })
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
