//! How far each side of a connection has come, and segments that smoltcp would drop for it.
//!
//! Segments may come in the wrong order, and some peers put acknowledgements and data on their way
//! separately, passt among them. So there are
//!
//! - segments with data that acknowledge less than one before them has. The acknowledgement is to
//!   be ignored and the data to be taken (RFC 9293 section 3.10.7.4);
//! - segments without data that count data as sent which is still to come, so that they lie just
//!   beyond a small window. Everybody else takes their acknowledgement.
//!
//! smoltcp 0.14 drops both. They are repaired before it sees them.

use alloc::vec::Vec;

use smoltcp::{
    socket::tcp::{Socket, State},
    wire::TcpSeqNumber,
};

use super::{
    options::MAX_SEND_BUFFER,
    segment::{ACK, FIN, RST, SYN, Tcp},
    window::MAX_SCALED,
};
use crate::net::wire::Segment;

/// How far beyond what has arrived a segment without data may lie, in bytes: the largest window
/// that this side tells.
const REACH: i32 = MAX_SCALED as i32;

/// How far apart the acknowledgements of two segments may be that are under way at the same time:
/// what can have been sent and not acknowledged. One that is older than that is not the peer's (RFC
/// 5961 section 5.2).
const MOST_SENT: i32 = MAX_SEND_BUFFER as i32;

/// Where the socket of a connection stands.
#[derive(Clone, Copy, Debug)]
pub(super) struct Standing {
    /// Bytes that have come and were not read.
    pub(super) received: usize,
    /// Bytes that were written and not acknowledged.
    pub(super) sent: usize,
    pub(super) state: State,
}

impl Standing {
    /// That of this socket.
    pub(super) fn of(socket: &Socket<'_>) -> Self {
        Self { received: socket.recv_queue(), sent: socket.send_queue(), state: socket.state() }
    }

    /// Whether the peer's SYN is still to come.
    fn awaits_syn(self) -> bool {
        matches!(self.state, State::Listen | State::SynSent)
    }

    /// Whether the peer's FIN has come, with everything before it.
    fn has_fin(self) -> bool {
        use State::{CloseWait, Closing, LastAck, TimeWait};
        matches!(self.state, CloseWait | Closing | LastAck | TimeWait)
    }

    /// Whether something is acknowledged here that was not `before`: data, or the own SYN.
    pub(super) fn is_acknowledged(self, before: Self) -> bool {
        use State::{Closed, Listen, SynReceived, SynSent};
        let connects = matches!(before.state, SynSent | SynReceived)
            && !matches!(self.state, SynSent | SynReceived | Listen | Closed);
        self.sent < before.sent || connects
    }

    /// Whether this segment was the peer's SYN, by where the socket stands after it. Any other
    /// one is late or forged.
    pub(super) fn is_syn(self, tcp: &Tcp, after: Self) -> bool {
        let has_syn = matches!(after.state, State::SynReceived | State::Established);
        tcp.flags & SYN != 0 && self.awaits_syn() && has_syn
    }

    /// Whether a segment was the peer's FIN, by where the socket stands after it.
    pub(super) fn is_fin(self, after: Self) -> bool {
        !self.has_fin() && after.has_fin()
    }
}

/// See the module.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Progress {
    /// The next byte that the peer has to send, from its SYN on.
    expected: Option<TcpSeqNumber>,
    /// Whether that is the one after its FIN.
    has_ended: bool,
    /// Up to where the peer has acknowledged, once it has acknowledged any data.
    acknowledged: Option<TcpSeqNumber>,
}

impl Progress {
    /// Notes what a segment has done to the socket. Returns whether more of the stream has come.
    pub(super) fn note(&mut self, tcp: &Tcp, before: Standing, after: Standing) -> bool {
        if before.is_syn(tcp, after) {
            self.expected = Some(tcp.sequence + 1);
        }
        let arrived = after.received.saturating_sub(before.received);
        let is_fin = before.is_fin(after);
        self.expected = self.expected.map(|next| next + arrived + usize::from(is_fin));
        self.has_ended |= is_fin;
        if after.sent < before.sent {
            self.acknowledged = Some(tcp.acknowledgement);
        }
        arrived > 0 || is_fin
    }

    /// The next byte that the peer has to send, once its SYN has come.
    pub(super) fn expected(&self) -> Option<TcpSeqNumber> {
        self.expected
    }

    /// The sequence number after the peer's FIN, once that has come.
    pub(super) fn end_of_input(&self) -> Option<i32> {
        self.expected.filter(|_| self.has_ended).map(|end| end.0)
    }

    /// Whether the peer has acknowledged data up to this number and not beyond.
    pub(super) fn is_acknowledged(&self, number: TcpSeqNumber) -> bool {
        self.acknowledged == Some(number)
    }

    /// Whether a segment, which has been noted, is one that the peer may have sent by now and after
    /// all others, so that what it says about the peer holds.
    pub(super) fn is_current(&self, tcp: &Tcp) -> bool {
        let is_bare = tcp.flags & FIN == 0;
        let end = tcp.sequence + tcp.payload + usize::from(!is_bare);
        let ahead = self.expected.map(|expected| end.0.wrapping_sub(expected.0));
        tcp.flags & (SYN | RST | ACK) == ACK
            && ahead.is_some_and(|ahead| (0..=REACH).contains(&ahead))
            && self.acknowledged.is_none_or(|last| {
                let newly = tcp.acknowledgement.0.wrapping_sub(last.0);
                (0..=MOST_SENT).contains(&newly)
            })
    }

    /// Whether smoltcp has certainly taken what a current segment says about the window. Of those that
    /// hold something of the stream, it takes what brings more of it (`is_news`), and none that repeats
    /// what has come, as a sign of life does.
    pub(super) fn is_taken(&self, tcp: &Tcp, is_news: bool) -> bool {
        let is_bare = tcp.payload == 0 && tcp.flags & FIN == 0;
        is_news || is_bare && (!self.has_ended || self.expected == Some(tcp.sequence))
    }

    /// A copy of the frame with numbers that smoltcp takes, if the segment in it is one that it
    /// would drop. `None` for all others, or if there is no memory.
    #[inline]
    pub(super) fn repair(&self, frame: &[u8], segment: &Segment, tcp: &Tcp) -> Option<Vec<u8>> {
        let (place, number) = self.wrong_number(tcp)?;
        let mut copy = Vec::new();
        copy.try_reserve_exact(frame.len()).ok()?;
        copy.extend_from_slice(frame);
        let field = copy.get_mut(segment.start..)?.get_mut(place..)?.first_chunk_mut()?;
        *field = number.0.to_be_bytes();
        Some(copy)
    }

    /// Which number of the header is to be another one: its place in bytes, and the number.
    #[inline]
    fn wrong_number(&self, tcp: &Tcp) -> Option<(usize, TcpSeqNumber)> {
        const SEQUENCE: usize = 4;
        const ACKNOWLEDGEMENT: usize = 8;
        if tcp.flags & (SYN | RST | ACK) != ACK {
            return None;
        }
        if tcp.payload > 0 {
            let acknowledged = self.acknowledged?;
            let behind = acknowledged.0.wrapping_sub(tcp.acknowledgement.0);
            let is_late = (1..=MOST_SENT).contains(&behind);
            return is_late.then_some((ACKNOWLEDGEMENT, acknowledged));
        }
        let expected = self.expected.filter(|_| !self.has_ended && tcp.flags & FIN == 0)?;
        let ahead = tcp.sequence.0.wrapping_sub(expected.0);
        (1..=REACH).contains(&ahead).then_some((SEQUENCE, expected))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: i32 = i32::MAX - 100;

    fn segment(flags: u8, sequence: i32, acknowledgement: i32, payload: usize) -> Tcp {
        let number = |offset: i32| TcpSeqNumber(START.wrapping_add(offset));
        let (sequence, acknowledgement) = (number(sequence), number(acknowledgement));
        Tcp { flags, sequence, acknowledgement, window: 0, payload }
    }

    fn standing(state: State, received: usize, sent: usize) -> Standing {
        Standing { received, sent, state }
    }

    /// A connection on which 1000 bytes have come and 500 were acknowledged, across the point at
    /// which the numbers wrap.
    fn progress() -> Progress {
        let mut progress = Progress::default();
        let established = |received, sent| standing(State::Established, received, sent);
        let syn = segment(SYN, -1, 0, 0);
        progress.note(&syn, standing(State::SynSent, 0, 0), established(0, 0));
        let data = segment(ACK, 0, 500, 1000);
        progress.note(&data, established(0, 700), established(1000, 200));
        progress
    }

    #[test]
    fn segments_in_order_are_left_alone() {
        let progress = progress();
        for tcp in [
            segment(ACK, 1000, 500, 100),
            segment(ACK, 1000, 600, 0),
            segment(ACK, 900, 400, 0),
            segment(ACK | FIN, 1500, 500, 0),
            segment(RST, 1500, 400, 0),
            segment(SYN, 0, 0, 0),
        ] {
            assert_eq!(progress.wrong_number(&tcp), None, "{tcp:?}");
        }
        assert_eq!(Progress::default().wrong_number(&segment(ACK, 9, 9, 9)), None);
    }

    #[test]
    fn old_acknowledgements_are_renewed() {
        let renewed = TcpSeqNumber(START.wrapping_add(500));
        let late = segment(ACK, 1000, 400, 100);
        assert_eq!(progress().wrong_number(&late), Some((8, renewed)));
        let (oldest, older) = (500 - (1 << 20), 499 - (1 << 20));
        assert!(progress().wrong_number(&segment(ACK, 1000, oldest, 100)).is_some());
        for forged in [older, i32::MIN + 1000] {
            assert_eq!(progress().wrong_number(&segment(ACK, 1000, forged, 100)), None, "{forged}");
        }
    }

    #[test]
    fn acknowledgements_ahead_of_their_data_are_taken() {
        let expected = TcpSeqNumber(START.wrapping_add(1000));
        assert_eq!(progress().wrong_number(&segment(ACK, 3000, 600, 0)), Some((4, expected)));
        assert_eq!(progress().wrong_number(&segment(ACK, 1_080_000, 600, 0)), None);
        let mut ended = progress();
        let (open, end) = (State::Established, State::CloseWait);
        let fin = segment(ACK | FIN, 1000, 500, 0);
        ended.note(&fin, standing(open, 1000, 200), standing(end, 1000, 200));
        assert_eq!(ended.end_of_input(), Some(START.wrapping_add(1001)));
        assert_eq!(ended.wrong_number(&segment(ACK, 1002, 700, 0)), None);
    }

    #[test]
    fn what_the_socket_does_not_take_is_not_noted() {
        let mut progress = progress();
        let before = progress;
        let open = standing(State::Established, 1000, 200);
        for tcp in [
            segment(SYN, -1, 0, 0),
            segment(SYN | ACK, 900, 500, 0),
            segment(ACK | FIN, 2000, 500, 0),
            segment(ACK, 3000, 800, 10),
        ] {
            progress.note(&tcp, open, open);
            assert_eq!(progress.expected, before.expected, "{tcp:?}");
            assert_eq!(progress.acknowledged, before.acknowledged, "{tcp:?}");
            assert_eq!(progress.end_of_input(), None, "{tcp:?}");
        }
    }

    #[test]
    fn late_and_impossible_segments_are_not_current() {
        let progress = progress();
        for tcp in [
            segment(ACK, 0, 500, 1000),
            segment(ACK, 1000, 500, 0),
            segment(ACK, 1000, 600, 0),
            segment(ACK, 3000, 600, 0),
        ] {
            assert!(progress.is_current(&tcp), "{tcp:?}");
        }
        for tcp in [
            segment(ACK, 900, 500, 0),
            segment(ACK, 0, 500, 900),
            segment(ACK, 1000, 400, 0),
            segment(ACK, 2_000_000, 500, 0),
            segment(ACK, 1000, 2_000_000, 0),
            segment(RST, 1000, 500, 0),
            segment(SYN, 1000, 500, 0),
        ] {
            assert!(!progress.is_current(&tcp), "{tcp:?}");
        }
    }
}
