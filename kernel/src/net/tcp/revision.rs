//! What is changed in the segments of a connection on their way out: the window, which [`window`]
//! is about, and the numbers of some.
//!
//! A segment without data bears the number after all that was sent (RFC 9293 section 3.10.7.4: it is
//! SND.NXT). When smoltcp 0.14 sends data again, it goes back, and so do the numbers of its
//! acknowledgements; the peer, who has had those bytes, must not look at them then. When both sides
//! send again, neither hears the other one.
//!
//! A segment that keeps the connection alive holds a byte of no meaning, which is to be one that the
//! peer has acknowledged (RFC 9293 section 3.8.4). smoltcp takes the last that it has sent. While that
//! is still missing on the other side, the byte would be taken for it, or for one behind the end.
//!
//! [`window`]: super::window

use smoltcp::wire::TcpSeqNumber;

use super::{
    retransmission::Sent,
    segment::{ACK, FIN, RST, SYN, Tcp},
    window::{MAX_SCALE, WindowField},
};
use crate::net::wire::{ETHERTYPE_IPV4, ETHERTYPE_IPV6, PROTOCOL_TCP, u16_at};

/// See the module. By default, nothing is changed.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::net) struct Revision {
    pub(super) window: WindowField,
    /// The number after all that was sent.
    pub(super) next: Option<TcpSeqNumber>,
    /// What has gone out, if it is to be acknowledged and nobody has asked yet.
    pub(super) sent: Option<Sent>,
    /// The number up to which the peer has acknowledged.
    pub(super) acknowledged: Option<TcpSeqNumber>,
    /// Whether smoltcp has ever been asked to keep the connection alive: it may do so once more after
    /// it was told not to.
    pub(super) keeps_alive: bool,
    /// The end of the peer's window, beyond which it takes nothing; the number at the end is that of
    /// all who have filled it. What was sent may go further: a probe, or what the peer has thrown
    /// away.
    limit: Option<TcpSeqNumber>,
}

impl Revision {
    /// Takes note of how far a peer that shifts its windows by `scale` lets this side go, by a
    /// segment that is current.
    pub(super) fn hear(&mut self, tcp: &Tcp, scale: Option<u8>) {
        let window = usize::from(tcp.window) << scale.unwrap_or(0).min(MAX_SCALE);
        // What was never sent, nobody has got.
        if self.next.is_none_or(|next| tcp.acknowledgement <= next) {
            self.acknowledged = Some(tcp.acknowledgement);
        }
        self.limit = Some(tcp.acknowledgement + window);
    }

    /// Changes the TCP segment in `frame`, if there is one: smoltcp may also ask the link for an
    /// address. Checksums are made after this.
    #[inline]
    pub(in crate::net) fn apply(&mut self, frame: &mut [u8]) -> Option<()> {
        // smoltcp sends IPv4 without options, and IPv6 without extensions.
        let (protocol, start) = match u16_at(frame, 12)? {
            ETHERTYPE_IPV4 => (23, 34),
            ETHERTYPE_IPV6 => (20, 54),
            _ => return None,
        };
        if *frame.get(protocol)? != PROTOCOL_TCP {
            return None;
        }
        let segment = frame.get_mut(start..)?;
        let tcp = Tcp::parse(segment)?;
        self.window.translate(segment);
        self.number(segment, &tcp)
    }

    /// Gives a segment another number if it needs one, and notes how far all others go. The number of
    /// a reset without an acknowledgement is one that the peer has asked about.
    fn number(&mut self, segment: &mut [u8], tcp: &Tcp) -> Option<()> {
        if tcp.flags & (RST | ACK) == RST {
            return None;
        }
        let says = tcp.payload + usize::from(tcp.flags & (SYN | FIN) != 0);
        let end = tcp.sequence + says;
        let ahead = |of: TcpSeqNumber| of.0.wrapping_sub(end.0);
        let Some(next) = self.next.filter(|_| tcp.flags & SYN == 0) else {
            let is_repeated = self.next.replace(end) == Some(end);
            self.sent = Some(if is_repeated { Sent::First(end) } else { Sent::New(end) });
            // When the peer has that, but no data.
            self.acknowledged = Some(end);
            return None;
        };
        let number = if says == 0 {
            self.limit.filter(|limit| ahead(*limit) < ahead(next)).unwrap_or(next)
        } else if ahead(next) < 0 {
            self.next = Some(end);
            self.sent = Some(if tcp.sequence == next { Sent::New(end) } else { Sent::Partly });
            return None;
        } else if self.keeps_alive && is_alive_sign(segment, tcp) {
            self.acknowledged.filter(|number| ahead(*number) < 0)? - 1
        } else {
            let is_first = self.acknowledged == Some(tcp.sequence);
            self.sent = Some(if is_first { Sent::First(end) } else { Sent::Later });
            return None;
        };
        if says > 0 || ahead(number) > 0 {
            let field = segment.get_mut(4..)?.first_chunk_mut()?;
            *field = number.0.to_be_bytes();
        }
        Some(())
    }
}

/// Whether a segment looks like one that keeps alive. It may also be a zero that is sent again
/// into a window of one byte: then that is lost once more, and the answers tell of the gap.
fn is_alive_sign(segment: &[u8], tcp: &Tcp) -> bool {
    tcp.payload == 1 && tcp.flags == ACK && segment.last() == Some(&0)
}

#[cfg(test)]
mod tests {
    use smoltcp::wire::{IpAddress, TcpControl, TcpPacket, TcpRepr};

    use super::*;
    use crate::net::tcp::{
        stage::EMPTY,
        window::{MAX_PLAIN, MAX_SCALED, SCALE},
    };

    /// Where numbers wrap.
    const START: TcpSeqNumber = TcpSeqNumber(i32::MAX - 1000);

    /// Sends a segment, and returns it as it goes out.
    fn send(revision: &mut Revision, repr: &TcpRepr<'_>) -> Vec<u8> {
        let (source, destination) = (IpAddress::v4(10, 0, 0, 1), IpAddress::v4(10, 0, 0, 2));
        let repr = TcpRepr { src_port: 1, dst_port: 2, ..*repr };
        let mut frame = vec![0; 34 + repr.buffer_len()];
        (frame[12], frame[23]) = (8, PROTOCOL_TCP);
        let mut packet = TcpPacket::new_unchecked(&mut frame[34..]);
        repr.emit(&mut packet, &source, &destination, &Default::default());
        revision.apply(&mut frame);
        frame.split_off(34)
    }

    /// A connection that has sent 1000 bytes, of which the peer has taken 100 and takes `window` more.
    fn after_a_thousand(window: u16) -> Revision {
        let mut revision = Revision::default();
        let (control, seq_number) = (TcpControl::Syn, START);
        send(&mut revision, &TcpRepr { control, seq_number, ..EMPTY });
        send(&mut revision, &TcpRepr { seq_number: START + 1, payload: &[7; 1000], ..EMPTY });
        let acknowledgement = START + 101;
        let tcp = Tcp { flags: ACK, sequence: START, acknowledgement, window, payload: 0 };
        revision.hear(&tcp, Some(1));
        revision
    }

    /// The number that a segment goes out with, from the start.
    fn number(mut revision: Revision, control: TcpControl, at: usize, payload: &[u8]) -> i32 {
        let ack_number = Some(TcpSeqNumber(1));
        let repr = TcpRepr { control, seq_number: START + at, ack_number, payload, ..EMPTY };
        let segment = send(&mut revision, &repr);
        TcpPacket::new_checked(&segment).unwrap().seq_number().0.wrapping_sub(START.0)
    }

    #[test]
    fn acknowledgements_come_after_all_that_was_sent() {
        let revision = after_a_thousand(5000);
        // smoltcp has gone back to send a hundred bytes again.
        assert_eq!(number(revision, TcpControl::None, 201, &[]), 1001);
        assert_eq!(number(revision, TcpControl::None, 1001, &[]), 1001);
        assert_eq!(number(revision, TcpControl::None, 101, &[7; 100]), 101);
        for control in [TcpControl::Fin, TcpControl::Syn] {
            assert_eq!(number(revision, control, 101, &[]), 101);
        }
        // A reset of its own, and one in answer to a segment without sense.
        assert_eq!(number(revision, TcpControl::Rst, 101, &[]), 1001);
        let repr = TcpRepr { control: TcpControl::Rst, seq_number: START + 101, ..EMPTY };
        let segment = send(&mut { revision }, &repr);
        assert_eq!(TcpPacket::new_checked(&segment).unwrap().seq_number(), START + 101);
    }

    #[test]
    fn what_goes_out_is_new_or_not() {
        let says = |at: usize, payload, control| {
            let mut revision = Revision { sent: None, keeps_alive: true, ..after_a_thousand(5000) };
            let ack_number = Some(TcpSeqNumber(1));
            send(
                &mut revision,
                &TcpRepr { control, seq_number: START + at, ack_number, payload, ..EMPTY },
            );
            revision.sent
        };
        let (none, fin) = (TcpControl::None, TcpControl::Fin);
        assert_eq!(says(1001, &[7; 9][..], none), Some(Sent::New(START + 1010)));
        assert_eq!(says(1001, &[], fin), Some(Sent::New(START + 1002)));
        assert_eq!(says(1000, &[7; 9], none), Some(Sent::Partly));
        assert_eq!(says(101, &[7; 100], none), Some(Sent::First(START + 201)));
        assert_eq!(says(201, &[7; 800], none), Some(Sent::Later));
        // Acknowledgements, and what keeps alive.
        assert_eq!(says(1001, &[], none), None);
        assert_eq!(says(1000, &[0], none), None);
        // The SYN itself, again.
        assert_eq!(says(0, &[], TcpControl::Syn), Some(Sent::New(START + 1)));
        let mut revision = Revision::default();
        for sent in [Sent::New(START + 1), Sent::First(START + 1)] {
            let control = TcpControl::Syn;
            send(&mut revision, &TcpRepr { control, seq_number: START, ..EMPTY });
            assert_eq!(revision.sent, Some(sent));
        }
    }

    #[test]
    fn what_keeps_alive_means_nothing() {
        let mut revision = after_a_thousand(5000);
        assert_eq!(number(revision, TcpControl::None, 1000, &[0]), 1000);
        revision.keeps_alive = true;
        // smoltcp's own choice, while 900 bytes are on their way, or only some, and after all.
        for at in [1000, 500, 101] {
            assert_eq!(number(revision, TcpControl::None, at, &[0]), 100);
        }
        assert_eq!(number(revision, TcpControl::None, 100, &[0]), 100);
        let mut all = revision;
        let acknowledgement = START + 1001;
        let tcp = Tcp { flags: ACK, sequence: START, acknowledgement, window: 1, payload: 0 };
        all.hear(&tcp, None);
        assert_eq!(number(all, TcpControl::None, 1000, &[0]), 1000);
        // Data that is new, is another, is more, or is the last.
        assert_eq!(number(revision, TcpControl::None, 1001, &[0]), 1001);
        assert_eq!(number(revision, TcpControl::None, 1000, &[7]), 1000);
        assert_eq!(number(revision, TcpControl::None, 999, &[0, 0]), 999);
        assert_eq!(number(revision, TcpControl::Psh, 1000, &[0]), 1000);
    }

    #[test]
    fn they_stay_in_the_window_of_the_peer() {
        // A window of zero, and one that is smaller than what was sent.
        assert_eq!(number(after_a_thousand(0), TcpControl::None, 101, &[]), 101);
        assert_eq!(number(after_a_thousand(200), TcpControl::None, 101, &[]), 501);
        assert_eq!(number(after_a_thousand(450), TcpControl::None, 101, &[]), 1001);
        // A keep-alive or a probe does not count as sent before it is.
        assert_eq!(number(Revision::default(), TcpControl::None, 101, &[]), 101);
    }

    #[test]
    fn only_the_scale_of_a_syn_changes() {
        let mut repr = TcpRepr {
            control: TcpControl::Syn,
            seq_number: TcpSeqNumber(3),
            window_len: 2928,
            max_seg_size: Some(1460),
            sack_permitted: true,
            ..EMPTY
        };
        for offered in [Some(0), None] {
            repr.window_scale = offered;
            let window = WindowField::new(2928, offered.is_some());
            let segment = send(&mut Revision { window, ..Revision::default() }, &repr);
            let packet = TcpPacket::new_checked(&segment).unwrap();
            let options = packet.options_summary().unwrap();
            assert_eq!(options.window_scale, offered.map(|_| SCALE));
            assert_eq!((options.max_segment_size, packet.window_len()), (Some(1460), 2928));
            assert!(options.sack_permitted);
        }
    }

    #[test]
    fn other_frames_are_left_alone() {
        for (ethertype, protocol) in [([8, 6], 0), ([8, 0], 17), ([0x86, 0xdd], 58)] {
            let mut frame = vec![0xff; 100];
            frame[12..14].copy_from_slice(&ethertype);
            (frame[20], frame[23]) = (protocol, protocol);
            let before = frame.clone();
            let window = WindowField::new(MAX_PLAIN, true);
            Revision { window, ..after_a_thousand(5000) }.apply(&mut frame);
            assert_eq!(frame, before);
        }
    }

    #[test]
    fn no_frame_is_too_short() {
        for ethertype in [[8, 0], [0x86, 0xdd]] {
            for (length, flags) in (12..90).flat_map(|length| [(length, 0), (length, SYN)]) {
                let mut frame = vec![PROTOCOL_TCP; length];
                for (to, from) in frame.iter_mut().skip(12).zip(ethertype) {
                    *to = from;
                }
                for at in [47, 67] {
                    frame.get_mut(at).into_iter().for_each(|byte| *byte = flags);
                }
                let window = WindowField::new(MAX_SCALED, true);
                Revision { window, ..after_a_thousand(5000) }.apply(&mut frame);
            }
        }
    }
}
