//! How a connection is made to send again when [`retransmission`](super::retransmission) says so.
//!
//! smoltcp 0.14 does that at once when the peer tells of a gap three times (RFC 5681 section 3.2). So
//! it hears that, from no device: an acknowledgement with another window, which makes it count anew,
//! one with the real window, and three that repeat it.

use smoltcp::{
    socket::tcp::State,
    time::{Duration, Instant},
    wire::{EthernetAddress, TcpRepr},
};

use super::{
    connection::Connection,
    stage::{EMPTY, tcp_frame},
};
use crate::net::{flow_map::Id, phy::Phy, stack::Stack};

/// How often the real window is told.
const REPEATS: usize = 4;

impl Connection {
    /// Notes what has gone out since it was asked last.
    pub(super) fn note_sent(&mut self, now: Instant) {
        if let (Some(sent), Some(next)) = (self.revision.sent.take(), self.revision.next) {
            self.retransmission.sent(sent, next, now);
        }
    }

    /// Notes that the peer has said something.
    pub(super) fn hear_life(&mut self, now: Instant) {
        self.heard_at = now;
        if self.settings.timeout.is_some() {
            let timeout = self.settings.timeout;
            self.socket().set_timeout(timeout);
        }
    }

    /// What is heard now is not the peer, although smoltcp takes it for it: what is left of its
    /// patience does not become more by that.
    fn keep_patience(&mut self, now: Instant) {
        let Some(timeout) = self.settings.timeout else { return };
        let silent_since =
            self.retransmission.waits_since().map_or(now, |at| at.max(self.heard_at));
        let silence = now - silent_since;
        let left = if silence < timeout { timeout - silence } else { Duration::ZERO };
        self.socket().set_timeout(Some(left));
    }

    /// What the peer would say that misses the first segment that is not acknowledged; `None` if
    /// there is none, or smoltcp would not listen.
    fn complaint(&mut self) -> Option<TcpRepr<'static>> {
        use State::{CloseWait, Closing, Established, FinWait1};
        let window_len = self.peer_window;
        let socket = self.socket();
        let may_send = matches!(socket.state(), Established | FinWait1 | CloseWait | Closing);
        // A closed window is probed, and that is another timer.
        if !may_send || socket.send_queue() == 0 || window_len == 0 {
            return None;
        }
        if self.retransmission.is_in_vain() {
            return None;
        }
        let (seq_number, ack_number) = (self.progress.expected()?, self.revision.acknowledged);
        ack_number.is_some().then_some(TcpRepr { seq_number, ack_number, window_len, ..EMPTY })
    }
}

impl Stack {
    /// Makes a connection send the first segment again that is not acknowledged, when it sends next,
    /// if it is time for that. Returns whether it is going to.
    #[cold]
    pub(super) fn resend(&mut self, id: Id) -> bool {
        let Some(flow) = self.connections.flow(id) else { return false };
        let Some(connection) = self.connections.get_mut(id) else { return false };
        if !connection.retransmission.take_due(self.now) {
            return false;
        }
        let Some(complaint) = connection.complaint() else {
            connection.retransmission.stop();
            return false;
        };
        connection.keep_patience(self.now);
        let mac = EthernetAddress(self.port.info.mac);
        let other = TcpRepr { window_len: complaint.window_len ^ 1, ..complaint };
        for line in core::iter::once(&other).chain([&complaint; REPEATS]) {
            let frame = tcp_frame(&flow, line, mac);
            let mut phy =
                Phy::input(&mut self.port, frame.bytes()).revising(&mut connection.revision);
            self.interface.poll_ingress_single(self.now, &mut phy, &mut connection.set);
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use smoltcp::wire::{IpAddress, IpEndpoint, TcpSeqNumber};

    use super::*;
    use crate::net::{
        tcp::{
            TcpOptions,
            connection::Owner,
            progress::Standing,
            segment::{SYN, Tcp},
            stage::{Stage, link, syn},
        },
        wire::Flow,
    };

    const FLOW: Flow = Flow {
        local: IpEndpoint::new(IpAddress::v4(10, 0, 0, 1), 80),
        remote: IpEndpoint::new(IpAddress::v4(10, 0, 0, 2), 1000),
    };

    #[test]
    fn a_complaint_is_about_something_that_can_be_sent() {
        let (link, now) = (link(), Instant::from_secs(100));
        let mut connection =
            Connection::new(&TcpOptions::default(), 1460, Owner::Stream, now).unwrap();
        let mut stage = Stage::new(&FLOW, &link, 1, now);
        connection.socket().listen(80).unwrap();
        let mut line = syn(&connection.peer, TcpSeqNumber(-1), 1000);
        let before = Standing::of(connection.socket());
        let answer = stage.play(&mut connection.set, &line).unwrap();
        let after = Standing::of(connection.socket());
        line = TcpRepr {
            seq_number: TcpSeqNumber(0),
            ack_number: Some(answer.sequence + 1),
            window_len: 1000,
            ..EMPTY
        };
        stage.play(&mut connection.set, &line);
        // What the engine takes note of.
        let (sequence, acknowledgement) = (TcpSeqNumber(-1), TcpSeqNumber(0));
        let heard = Tcp { flags: SYN, sequence, acknowledgement, window: 1000, payload: 0 };
        connection.progress.note(&heard, before, after);
        connection.revision.acknowledged = line.ack_number;
        connection.peer_window = line.window_len;
        assert_eq!(connection.complaint(), None, "nothing was sent");
        assert_eq!(connection.socket().send_slice(b"data"), Ok(4));
        assert_eq!(connection.complaint(), Some(line));
        connection.peer_window = 0;
        assert_eq!(connection.complaint(), None, "the window is closed");
        connection.peer_window = 1000;
        connection.socket().abort();
        assert_eq!(connection.complaint(), None, "it is over");
    }
}
