//! Connections that were asked for before this network was there.
//!
//! Somebody else has seen a SYN that was meant for this network, has not answered it, and has
//! written down what it said and the sequence number with which the answer is to begin. Here a
//! connection is made of that, as if the SYN had come in just now: this side sends the SYN-ACK, and
//! the client cannot tell the difference.
//!
//! The record is an allegation. The most that a wrong one does is what a forged SYN does: a
//! handshake that nobody completes, one of the listener's backlog.

use core::{fmt, net::SocketAddr};

use smoltcp::{
    socket::tcp::State,
    wire::{IpAddress, TcpSeqNumber},
};

use super::{
    connection::Connection,
    peer_options::PeerOptions,
    progress::Standing,
    segment::Tcp,
    stage::{OWN_MAC, Stage, syn, tcp_frame},
    window::MAX_SCALE,
};
use crate::net::{
    Network,
    config::{is_host_v4, is_host_v6},
    stack::Stack,
    wire::Flow,
};

/// A SYN that somebody else has received for this network, and has not answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SynRecord {
    /// Where it was to go: an address of this network, and the port of a listener.
    pub local: SocketAddr,
    /// Where it came from.
    pub remote: SocketAddr,
    /// Its sequence number: the client's initial one.
    pub sequence: u32,
    /// The initial sequence number of this side.
    pub own_sequence: u32,
    /// Its window field, in bytes. It counts until the client's first acknowledgement, which has
    /// another, and comes before any data can be sent.
    pub window: u16,
    /// The option that says how much payload a segment to the client may have, in bytes.
    pub max_segment_size: Option<u16>,
    /// The option that says by how many bits the client's windows are to be shifted.
    pub window_scale: Option<u8>,
    /// Whether it has the option that permits selective acknowledgements.
    pub allows_sack: bool,
}

/// Why a [`SynRecord`] is not used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum AdoptError {
    /// Nobody listens on the port.
    NotListening,
    /// The local address is not one of this network.
    NotOurs,
    /// The addresses are not those of two hosts.
    Invalid,
    /// There is, or was until a moment ago, a connection between the two.
    Known,
    /// The backlog of the listener is full.
    Full,
    /// There is no memory for another connection.
    OutOfMemory,
}

impl fmt::Display for AdoptError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotListening => "nobody listens on its port: bind a listener first",
            Self::NotOurs => "its local address is not one of this network",
            Self::Invalid => "its addresses and ports are not those of two hosts",
            Self::Known => "its client is connected already",
            Self::Full => "the listener has all that it takes: give it a larger backlog",
            Self::OutOfMemory => "no memory for a connection: give the guest more",
        })
    }
}

impl core::error::Error for AdoptError {}

impl Network {
    /// Makes a connection of a SYN that somebody else has recorded, and answers it. The listener of
    /// its port gets it, as soon as the client has acknowledged that.
    ///
    /// # Errors
    /// [`AdoptError`]; then nothing was sent.
    pub fn adopt(&self, record: &SynRecord) -> Result<(), AdoptError> {
        self.with(|stack| stack.adopt(record))
    }

    /// Whether somebody listens on a TCP port.
    pub(crate) fn has_listener(&self, port: u16) -> bool {
        self.with(|stack| stack.listeners.contains(port))
    }
}

impl Stack {
    fn adopt(&mut self, record: &SynRecord) -> Result<(), AdoptError> {
        let flow = Flow { local: record.local.into(), remote: record.remote.into() };
        self.may_adopt(&flow)?;
        self.update_clock();
        let connection = self.enact(&flow, record)?;
        let id = self.enroll(flow, connection).ok_or(AdoptError::OutOfMemory)?;
        self.line_up_to_send(id);
        self.wake_runner();
        Ok(())
    }

    fn may_adopt(&self, flow: &Flow) -> Result<(), AdoptError> {
        let Flow { local, remote } = flow;
        let is_host = match remote.addr {
            IpAddress::Ipv4(address) => is_host_v4(address),
            IpAddress::Ipv6(address) => is_host_v6(address),
        };
        if !is_host || remote.port == 0 || local.addr.version() != remote.addr.version() {
            return Err(AdoptError::Invalid);
        }
        if !self.interface.has_ip_addr(local.addr) {
            return Err(AdoptError::NotOurs);
        }
        if self.connections.find(flow).is_some() || self.time_wait.contains(flow) {
            return Err(AdoptError::Known);
        }
        let listener = self.listeners.get(local.port).ok_or(AdoptError::NotListening)?;
        if listener.has_room() { Ok(()) } else { Err(AdoptError::Full) }
    }

    /// A connection that has got the SYN of the record, and is about to answer it.
    fn enact(&mut self, flow: &Flow, record: &SynRecord) -> Result<Connection, AdoptError> {
        let peer = PeerOptions {
            max_segment_size: record.max_segment_size,
            window_scale: record.window_scale.map(|scale| scale.min(MAX_SCALE)),
            sack: record.allows_sack,
        };
        let line = syn(&peer, TcpSeqNumber(record.sequence as i32), record.window);
        let frame = tcp_frame(flow, &line, OWN_MAC);
        let start = frame.length.saturating_sub(line.buffer_len());
        let segment = frame.bytes().get(start..).unwrap_or_default();
        let tcp = Tcp::parse(segment).ok_or(AdoptError::Invalid)?;
        let connection = self.half_open(flow.local, &peer);
        let mut connection = connection.ok_or(AdoptError::OutOfMemory)?;
        let own = TcpSeqNumber(record.own_sequence as i32);
        let stage = Stage::beginning_with(own, flow, &self.port.capabilities, self.now);
        let mut stage = stage.ok_or(AdoptError::OutOfMemory)?;
        connection.hear_options(segment);
        let before = Standing::of(connection.socket());
        stage.hear(&mut connection.set, frame.bytes());
        let after = Standing::of(connection.socket());
        connection.progress.note(&tcp, before, after);
        let has_begun = after.state == State::SynReceived;
        has_begun.then_some(connection).ok_or(AdoptError::Invalid)
    }
}
