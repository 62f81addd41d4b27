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

use smoltcp::{socket::tcp::Socket, wire::TcpSeqNumber};

use super::{
    segment::{ACK, FIN, RST, SYN, Tcp},
    window::MAX_SCALED,
};
use crate::net::wire::Segment;

/// How far beyond what has arrived a segment without data may lie, in bytes: the largest window
/// that this side tells.
const REACH: i32 = MAX_SCALED as i32;

/// Bytes in the queues of a connection.
#[derive(Clone, Copy, Debug)]
pub(super) struct Queues {
    /// Those that have come and were not read.
    pub(super) received: usize,
    /// Those that were written and not acknowledged.
    pub(super) sent: usize,
}

impl Queues {
    /// Those of this socket.
    pub(super) fn of(socket: &Socket<'_>) -> Self {
        Self { received: socket.recv_queue(), sent: socket.send_queue() }
    }
}

/// See the module.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Progress {
    /// The next byte that the peer has to send, from its SYN until its FIN.
    expected: Option<TcpSeqNumber>,
    /// Up to where the peer has acknowledged, once it has acknowledged any data.
    acknowledged: Option<TcpSeqNumber>,
}

impl Progress {
    /// Notes the peer's SYN.
    pub(super) fn begin(&mut self, syn: &Tcp) {
        self.expected = Some(syn.sequence + 1);
    }

    /// Notes what a segment has done to the queues.
    pub(super) fn note(&mut self, tcp: &Tcp, before: Queues, after: Queues) {
        let arrived = after.received.saturating_sub(before.received);
        // After its end there is nothing to be ahead of.
        let is_open = tcp.flags & FIN == 0;
        self.expected = self.expected.filter(|_| is_open).map(|next| next + arrived);
        if after.sent < before.sent {
            self.acknowledged = Some(tcp.acknowledgement);
        }
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
            let acknowledged = self.acknowledged.filter(|last| tcp.acknowledgement < *last)?;
            return Some((ACKNOWLEDGEMENT, acknowledged));
        }
        let expected = self.expected.filter(|_| tcp.flags & FIN == 0)?;
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

    /// A connection on which 1000 bytes have come and 500 were acknowledged, across the point at
    /// which the numbers wrap.
    fn progress() -> Progress {
        let mut progress = Progress::default();
        progress.begin(&segment(SYN, -1, 0, 0));
        let (before, after) =
            (Queues { received: 0, sent: 700 }, Queues { received: 1000, sent: 200 });
        progress.note(&segment(ACK, 0, 500, 1000), before, after);
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
    }

    #[test]
    fn acknowledgements_ahead_of_their_data_are_taken() {
        let expected = TcpSeqNumber(START.wrapping_add(1000));
        assert_eq!(progress().wrong_number(&segment(ACK, 3000, 600, 0)), Some((4, expected)));
        assert_eq!(progress().wrong_number(&segment(ACK, 1_080_000, 600, 0)), None);
        let mut ended = progress();
        let queues = Queues { received: 1000, sent: 200 };
        ended.note(&segment(ACK | FIN, 1000, 500, 0), queues, queues);
        assert_eq!(ended.wrong_number(&segment(ACK, 1001, 700, 0)), None);
    }
}
