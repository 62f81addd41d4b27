//! One TCP connection: a smoltcp socket in a set of its own, and whose it is.
//!
//! smoltcp looks at every socket of a set for every segment. With one set for each connection it
//! looks at the right one only.

use smoltcp::{
    iface::{SocketHandle, SocketSet, SocketStorage},
    socket::tcp::{CongestionControl, Socket, SocketBuffer, State},
    time::{Duration, Instant},
    wire::TCP_HEADER_LEN,
};

use super::{
    TcpOptions,
    peer_options::PeerOptions,
    progress::Progress,
    retransmission::Retransmission,
    revision::Revision,
    segment::Tcp,
    window::{MAX_SCALE, WindowField},
};
use crate::{memory, net::Error};

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
    /// What the app asked for.
    pub(super) settings: Settings,
    /// Sizes of the buffers, in whole segments.
    pub(super) options: TcpOptions,
    /// Bytes in a full segment.
    pub(super) segment: usize,
    /// What the peer said in its SYN.
    pub(super) peer: PeerOptions,
    /// What is changed in its segments on their way out.
    pub(super) revision: Revision,
    /// The window field that smoltcp goes by, or less.
    pub(super) peer_window: u16,
    /// When the last segment came that was current.
    pub(super) heard_at: Instant,
    /// How far each side has come.
    pub(super) progress: Progress,
    /// When it sends again what was not acknowledged.
    pub(super) retransmission: Retransmission,
    /// Whether the peer has sent something that is still missing something before it.
    pub(super) has_gap: bool,
    /// Whether the buffers are larger than at first.
    pub(super) has_grown: bool,
    /// How many bytes were read from a full buffer, or found no room in one, since it grew.
    pub(super) receive_pressure: usize,
    pub(super) send_pressure: usize,
    /// While it is helped on: bytes that waited to be acknowledged when it stalled, and its state.
    stalled_with: Option<(usize, State)>,
    /// Whether the app has said that it writes nothing more.
    pub(super) is_write_closed: bool,
    /// Whether smoltcp is still to be told so: see `close`.
    pub(super) closes_later: bool,
    /// Whether others answer late segments, so that only what was not read is left of it.
    pub(super) is_retired: bool,
    /// Why it ended, if it ended by itself.
    pub(in crate::net) error: Option<Error>,
}

/// What can be chosen about a connection while it exists.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Settings {
    pub(super) keep_alive: Option<Duration>,
    pub(super) timeout: Option<Duration>,
    pub(super) nodelay: bool,
}

impl Connection {
    /// A closed connection with buffers as `options` say, for segments of `segment` bytes. `None`
    /// if there is no memory for it.
    pub(super) fn new(
        options: &TcpOptions,
        segment: usize,
        owner: Owner,
        now: Instant,
    ) -> Option<Self> {
        let options = options.rounded(segment);
        let (set, handle) = Self::sockets(options.receive_buffer, options.send_buffer)?;
        Some(Self {
            set,
            handle,
            owner,
            since: now,
            turn: Turn::None,
            settings: Settings::default(),
            options,
            segment,
            peer: PeerOptions::default(),
            revision: Revision::default(),
            peer_window: 0,
            heard_at: now,
            progress: Progress::default(),
            retransmission: Retransmission::default(),
            has_gap: false,
            has_grown: false,
            receive_pressure: 0,
            send_pressure: 0,
            stalled_with: None,
            is_write_closed: false,
            closes_later: false,
            is_retired: false,
            error: None,
        })
    }

    /// A set with one closed socket, with buffers of these sizes. `None` if there is no memory.
    pub(super) fn sockets(
        receive: usize,
        send: usize,
    ) -> Option<(SocketSet<'static>, SocketHandle)> {
        let receive = memory::try_zeroed(receive, "a TCP receive buffer").ok()?;
        let send = memory::try_zeroed(send, "a TCP send buffer").ok()?;
        let mut storage = memory::try_vec(1, "a TCP socket").ok()?;
        storage.push(SocketStorage::EMPTY);
        let (receive, send) =
            (SocketBuffer::new(receive.into_vec()), SocketBuffer::new(send.into_vec()));
        let mut socket = Socket::new(receive, send);
        socket.set_congestion_control(CongestionControl::Reno);
        let mut set = SocketSet::new(storage);
        let handle = set.add(socket);
        Some((set, handle))
    }

    /// Takes note of what the peer says in its SYN, header and all. It may be a forged one, so that
    /// another can follow.
    pub(super) fn hear_options(&mut self, segment: &[u8]) {
        if matches!(self.socket().state(), State::Listen | State::SynSent) {
            self.peer = PeerOptions::of(segment);
            // The window of a SYN is not scaled, those of all others are (RFC 7323 section 2.2).
            let scale = self.peer.window_scale.unwrap_or(0).min(MAX_SCALE);
            self.peer_window = Tcp::parse(segment).map_or(0, |syn| syn.window >> scale);
            self.note_scale();
        }
    }

    /// Takes note of how windows are told, by the peer and by the present socket.
    fn note_scale(&mut self) {
        let capacity = self.socket().recv_capacity();
        self.revision.window = WindowField::new(capacity, self.peer.scales());
    }

    /// Puts another socket in the place of the present one, and wakes those who wait for that.
    pub(super) fn replace(&mut self, set: SocketSet<'static>, handle: SocketHandle) {
        self.socket().abort();
        (self.set, self.handle) = (set, handle);
        self.stalled_with = None;
        self.note_scale();
        self.apply_settings();
    }

    /// Tells the socket what the app asked for.
    pub(super) fn apply_settings(&mut self) {
        let settings = self.settings;
        self.revision.keeps_alive |= settings.keep_alive.is_some();
        let socket = self.socket();
        socket.set_keep_alive(settings.keep_alive);
        socket.set_timeout(settings.timeout);
        socket.set_nagle_enabled(!settings.nodelay);
    }

    /// Takes note of the window in a segment that is current.
    pub(super) fn hear_window(&mut self, tcp: &Tcp, is_news: bool) {
        let is_taken = self.progress.is_taken(tcp, is_news);
        self.peer_window = if is_taken { tcp.window } else { self.peer_window.min(tcp.window) };
    }

    /// Ends what is sent, after what was written.
    ///
    /// When the peer has ended first, smoltcp 0.14 is in LAST-ACK as soon as it is told to close,
    /// although much may be left to be sent. There it takes no segment that acknowledges nothing new:
    /// neither one that opens the window nor one that tells of a gap. So it is told when what is left
    /// fits into half of the window, whose end may come closer a little, as windows are told in
    /// steps; and when it is so little that no gap would be told of three times.
    pub(super) fn close(&mut self) {
        let scale = self.peer.window_scale.unwrap_or(0).min(MAX_SCALE);
        let window = usize::from(self.peer_window) << scale;
        let little = (window / 2).min(self.segment * 3);
        let socket = self.socket();
        let is_late = socket.state() == State::CloseWait && socket.send_queue() > little;
        if !is_late {
            socket.close();
        }
        self.closes_later = is_late;
    }

    /// Helps a connection on that waits for an acknowledgement, but for which smoltcp has no timer
    /// left. That happens in 0.14
    ///
    /// - when a segment closes the window while the retransmission timer runs (as an old one does
    ///   that was overtaken): the timer expires into the closed window, and no probe is ever sent;
    /// - when three acknowledgements of the last byte come while only the FIN is missing: it tries
    ///   to send the byte once more, of which there is none, and not the FIN.
    ///
    /// A keep-alive segment makes the peer tell its window in the first case, and in the second one
    /// smoltcp sends the FIN in its place. Returns whether the connection has stalled.
    pub(in crate::net) fn revive(&mut self, has_deadline: bool) -> bool {
        let keep_alive = self.settings.keep_alive;
        let mut stalled_with = self.stalled_with;
        let socket = self.socket();
        let (queued, state) = (socket.send_queue(), socket.state());
        let waits =
            queued > 0 || matches!(state, State::FinWait1 | State::Closing | State::LastAck);
        if stalled_with.is_some_and(|before| (queued, state) != before) {
            socket.set_keep_alive(keep_alive);
            stalled_with = None;
        }
        let is_stalled = !has_deadline && waits && stalled_with.is_none();
        if is_stalled {
            socket.set_keep_alive(Some(PROBE_INTERVAL));
            stalled_with = Some((queued, state));
        }
        self.stalled_with = stalled_with;
        self.revision.keeps_alive |= is_stalled;
        is_stalled
    }

    /// Whether the segment that has just gone out, of `length` bytes with its header, holds
    /// everything that is to be sent, so that nothing of an ordinary connection is due before it is
    /// acknowledged or sent again. False if that is not certain.
    pub(super) fn has_sent_all(&mut self, length: usize) -> bool {
        let Settings { keep_alive, timeout, .. } = self.settings;
        let is_ordinary = self.owner == Owner::Stream
            && keep_alive.is_none()
            && timeout.is_none()
            && !self.has_grown
            && !self.is_revived();
        if !is_ordinary {
            return false;
        }
        let socket = self.socket();
        // Only segments of a handshake and bare acknowledgements have options.
        socket.state() == State::Established && length == TCP_HEADER_LEN + socket.send_queue()
    }

    /// Whether it is being helped on.
    pub(super) fn is_revived(&self) -> bool {
        self.stalled_with.is_some()
    }

    /// The socket.
    pub(in crate::net) fn socket(&mut self) -> &mut Socket<'static> {
        self.set.get_mut(self.handle)
    }
}
