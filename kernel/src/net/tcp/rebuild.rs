//! A connection with other buffers.
//!
//! The buffers of a smoltcp socket are fixed when it is made. So a connection whose buffers are to
//! grow or shrink gets a new socket, which is led to where the old one is by acting the handshake
//! out with it, on an interface of its own to which no device belongs: the SYN that the peer sent,
//! the answer that this side gave, and the acknowledgement, with the sequence numbers of today; and
//! then what the peer has sent and nobody has read. Nothing of that reaches the network, and the
//! peer cannot tell the difference.
//!
//! It takes a moment in which everything that was written is acknowledged. The one thing that
//! smoltcp does not let others choose is its initial sequence number; but it comes from a generator
//! with a seed, and the seed for a number can be computed. Whether the number came out is checked,
//! so that another generator would make buffers stay as they are, and nothing worse.

use smoltcp::{
    iface::{SocketHandle, SocketSet},
    phy::DeviceCapabilities,
    socket::tcp::{Socket, State},
    time::{Duration, Instant},
    wire::{EthernetAddress, TcpControl, TcpRepr, TcpSeqNumber},
};

use super::{
    connection::Connection,
    seed::seed_for,
    segment::{ACK, SYN},
    stage::{EMPTY, Stage, syn, tcp_frame},
};
use crate::{
    memory,
    net::{phy::Caught, wire::Flow},
};

/// Further away than any timer of a connection.
const LONG: Duration = Duration::from_secs(1 << 30);

/// Gives `connection`, of `flow` and the device with these capabilities and address, buffers of
/// these sizes in bytes. Returns a frame for smoltcp that makes the connection tell the peer its
/// window, which it believes to have done; or `None` if it was not possible, and then the
/// connection is as it was, but for its sign of life, which waits for the next segment.
pub(super) fn rebuild(
    connection: &mut Connection,
    flow: &Flow,
    (receive, send): (usize, usize),
    (capabilities, mac): (&DeviceCapabilities, EthernetAddress),
    now: Instant,
) -> Option<Caught> {
    let (peer, window) = (connection.peer, connection.peer_window);
    let socket = connection.socket();
    let state = socket.state();
    let ends = Ends::of(state)?;
    let queued = socket.recv_queue();
    if socket.send_queue() > 0 || queued > receive {
        return None;
    }
    let mut unread = memory::try_zeroed(queued, "a TCP receive buffer").ok()?;
    socket.peek_slice(&mut unread).ok()?;
    let (set, handle) = Connection::sockets(receive, send)?;
    let position = Position::of(connection, Stage::new(flow, capabilities, 0, now + LONG))?;
    let iss = position.send - 1 - ends.own;
    let irs = position.receive - 1 - ends.peer - queued;
    let stage = Stage::new(flow, capabilities, seed_for(iss.0 as u32), now);
    let mut understudy = Understudy { stage, set, handle };
    let mut line = understudy.connect(iss, &syn(&peer, irs, window))?;
    understudy.stage.feed(&mut understudy.set, &mut line, &unread)?;
    understudy.close(ends, &mut line);
    line.seq_number = position.receive - 1;
    let is_there = understudy.tell_window(&line)? == position.receive
        && understudy.socket().state() == state
        && understudy.socket().recv_queue() == queued;
    if !is_there {
        return None;
    }
    connection.replace(understudy.set, understudy.handle);
    Some(tcp_frame(flow, &line, mac))
}

/// Who has said that nothing more comes: 1 for a side that has, which takes a sequence number.
#[derive(Clone, Copy)]
struct Ends {
    own: usize,
    peer: usize,
}

impl Ends {
    /// Those of a connection in `state`, if a new socket can be led there.
    fn of(state: State) -> Option<Self> {
        match state {
            State::Established => Some(Self { own: 0, peer: 0 }),
            State::CloseWait => Some(Self { own: 0, peer: 1 }),
            State::FinWait2 => Some(Self { own: 1, peer: 0 }),
            _ => None,
        }
    }
}

/// Where a connection is.
struct Position {
    /// The number of the next byte that this side sends; all before are acknowledged.
    send: TcpSeqNumber,
    /// The number of the next byte that the peer sends.
    receive: TcpSeqNumber,
}

impl Position {
    /// That of `connection`, which is made to send something on `stage`, whatever that is.
    fn of(connection: &mut Connection, mut stage: Stage<'_>) -> Option<Self> {
        let socket = connection.socket();
        socket.set_timeout(None);
        socket.set_keep_alive(Some(Duration::from_secs(1)));
        let tcp = stage.prompt(&mut connection.set);
        connection.apply_settings();
        // A keep-alive segment repeats a byte, anything else here is empty.
        tcp.map(|tcp| Self { send: tcp.sequence + tcp.payload, receive: tcp.acknowledgement })
    }
}

/// The new socket, which is to take over from the old one where that is.
struct Understudy<'a> {
    stage: Stage<'a>,
    set: SocketSet<'static>,
    handle: SocketHandle,
}

impl Understudy<'_> {
    fn socket(&mut self) -> &mut Socket<'static> {
        self.set.get_mut(self.handle)
    }

    /// Acts out the handshake that begins with `syn`. Returns the last line of it, the peer's; or
    /// `None` if the own sequence numbers do not begin with `iss`.
    fn connect(&mut self, iss: TcpSeqNumber, syn: &TcpRepr<'_>) -> Option<TcpRepr<'static>> {
        let local = self.stage.flow.local;
        self.socket().listen(local).ok()?;
        let answer = self.stage.play(&mut self.set, syn)?;
        if answer.sequence != iss || answer.flags & (SYN | ACK) != SYN | ACK {
            return None;
        }
        let line = TcpRepr {
            seq_number: syn.seq_number + 1,
            ack_number: Some(iss + 1),
            window_len: syn.window_len,
            ..EMPTY
        };
        self.stage.play(&mut self.set, &line);
        Some(line)
    }

    /// Acts out how the sides ended what they send. `line` is the last line of the peer.
    fn close(&mut self, ends: Ends, line: &mut TcpRepr<'static>) {
        if ends.peer > 0 {
            line.control = TcpControl::Fin;
            self.stage.play(&mut self.set, line);
            line.control = TcpControl::None;
        }
        if ends.own > 0 {
            self.socket().close();
            self.stage.prompt(&mut self.set);
            line.ack_number = line.ack_number.map(|number| number + 1);
            self.stage.play(&mut self.set, line);
        }
    }

    /// Makes it tell its window. Returns what it acknowledges then.
    ///
    /// smoltcp 0.14 believes to have told the window of its SYN in units of the scale, which may be
    /// more than the buffer holds. It answers a byte that it has had, with which `line` begins, and
    /// so tells the real one.
    fn tell_window(&mut self, line: &TcpRepr<'_>) -> Option<TcpSeqNumber> {
        let told = self.stage.play(&mut self.set, &TcpRepr { payload: &[0], ..*line });
        told.map(|told| told.acknowledgement)
    }
}

#[cfg(test)]
mod tests {
    use smoltcp::wire::{IpAddress, IpEndpoint};

    use super::*;
    use crate::net::tcp::{
        TcpOptions,
        connection::Owner,
        stage::{OWN_MAC, link},
        window::STEP,
    };

    const FLOW: Flow = Flow {
        local: IpEndpoint::new(IpAddress::v4(10, 0, 0, 1), 80),
        remote: IpEndpoint::new(IpAddress::v4(10, 0, 0, 2), 1000),
    };

    /// Plays a peer that connects, and fills a buffer of `size` bytes that the connection is given
    /// then, the end first and beyond it. Returns how many bytes the socket takes.
    fn fill(size: usize) -> usize {
        let (link, now) = (link(), Instant::from_secs(100));
        let options = TcpOptions::default();
        let mut connection = Connection::new(&options, 1460, Owner::Stream, now).unwrap();
        connection.peer.window_scale = Some(7);
        let irs = TcpSeqNumber(i32::MAX - 1000);
        let mut stage = Stage::new(&FLOW, &link, 1, now);
        connection.socket().listen(80).unwrap();
        let line = syn(&connection.peer, irs, 1000);
        let answer = stage.play(&mut connection.set, &line).unwrap();
        let ack_number = Some(answer.sequence + 1);
        let mut line = TcpRepr { seq_number: irs + 1, ack_number, window_len: 1000, ..EMPTY };
        stage.play(&mut connection.set, &line);
        rebuild(&mut connection, &FLOW, (size, 4096), (&link, OWN_MAC), now).unwrap();
        assert_eq!(connection.socket().recv_capacity(), size);
        // Longer ones cannot be played.
        let piece = &[7; 60];
        for at in [size - 30].into_iter().chain((0..size - 30).step_by(60)) {
            line = TcpRepr { seq_number: irs + 1 + at, payload: piece, ..line };
            stage.play(&mut connection.set, &line);
        }
        connection.socket().recv_queue()
    }

    #[test]
    fn nothing_is_taken_beyond_the_buffer() {
        for size in [2928, 65_535, 128_480, 259_888, 525_600, 1_048_560] {
            // Windows are told in steps, so the last few bytes may not find room.
            assert!((size - 2 * STEP..=size).contains(&fill(size)), "{size}");
        }
    }
}
