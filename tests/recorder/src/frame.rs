//! TCP segments in frames, as far as a recorder has to know them (RFC 791, RFC 9293 section 3.1), and
//! announcements of addresses.

use std::fmt::Write;
use std::net::{Ipv4Addr, SocketAddrV4};

const SYN: u8 = 0x02;
const RST: u8 = 0x04;
const ACK: u8 = 0x10;

/// A TCP segment over IPv4.
pub struct Segment {
    /// Who has sent it.
    pub from: SocketAddrV4,
    /// Who is to get it.
    pub to: SocketAddrV4,
    /// Its sequence number.
    pub sequence: u32,
    /// What it acknowledges.
    pub acknowledgement: u32,
    /// Its window field.
    pub window: u16,
    flags: u8,
    options: Vec<u8>,
}

impl Segment {
    /// The segment in an Ethernet frame, if there is one.
    pub fn parse(frame: &[u8]) -> Option<Self> {
        let packet = frame.get(14..).filter(|_| frame[12..14] == [8, 0])?;
        let header = usize::from(packet.first()? & 0xf) * 4;
        let address = |at: usize| {
            let octets: [u8; 4] = packet.get(at..at + 4)?.try_into().ok()?;
            Some(Ipv4Addr::from(octets))
        };
        let tcp = packet.get(header..).filter(|_| packet.get(9) == Some(&6))?;
        let short = |at: usize| Some(u16::from_be_bytes(tcp.get(at..at + 2)?.try_into().ok()?));
        let long = |at: usize| Some(u32::from_be_bytes(tcp.get(at..at + 4)?.try_into().ok()?));
        let length = usize::from(tcp.get(12)? >> 4) * 4;
        Some(Self {
            from: SocketAddrV4::new(address(12)?, short(0)?),
            to: SocketAddrV4::new(address(16)?, short(2)?),
            sequence: long(4)?,
            acknowledgement: long(8)?,
            window: short(14)?,
            flags: tcp[13],
            options: tcp.get(20..length)?.to_vec(),
        })
    }

    /// Whether it asks for a connection.
    pub fn is_request(&self) -> bool {
        self.flags & (SYN | ACK | RST) == SYN
    }

    /// Whether it answers one that does.
    pub fn is_answer(&self) -> bool {
        self.flags & (SYN | ACK | RST) == SYN | ACK
    }

    /// Its options as an s-expression, the last one first, as Synjitsu writes them.
    pub fn options(&self) -> String {
        let mut list = Vec::new();
        let mut rest = &self.options[..];
        while let Some((&kind, tail)) = rest.split_first() {
            if kind == 0 {
                break;
            }
            if kind == 1 {
                list.push("Noop".to_owned());
                rest = tail;
                continue;
            }
            let Some(length @ 2..) = tail.first().map(|length| usize::from(*length)) else { break };
            let Some(value) = rest.get(2..length) else { break };
            list.push(option(kind, value));
            rest = &rest[length..];
        }
        let mut text = String::from("(");
        for option in list.iter().rev() {
            // Words need something between them, lists do not.
            let is_word = |text: &str| !text.ends_with(['(', ')']);
            let space = if is_word(&text) && !option.starts_with('(') { " " } else { "" };
            // Writing to a string cannot fail.
            let _ = write!(text, "{space}{option}");
        }
        text + ")"
    }
}

/// The address that a frame announces: one of ARP in which the sender asks for its own (RFC 5227,
/// section 3).
pub fn announced(frame: &[u8]) -> Option<Ipv4Addr> {
    let packet = frame.get(14..42).filter(|_| frame[12..14] == [8, 6])?;
    let (sender, target) = (packet.get(14..18)?, packet.get(24..28)?);
    let octets: [u8; 4] = sender.try_into().ok()?;
    (sender == target).then_some(Ipv4Addr::from(octets))
}

fn option(kind: u8, value: &[u8]) -> String {
    match (kind, value) {
        (2, [a, b]) => format!("(MSS {})", u16::from_be_bytes([*a, *b])),
        (3, [shift]) => format!("(Window_size_shift {shift})"),
        (4, []) => "SACK_ok".into(),
        (8, [a, b, c, d, e, f, g, h]) => {
            let (value, echo) = ([*a, *b, *c, *d], [*e, *f, *g, *h]);
            format!("(Timestamp {} {})", i32::from_be_bytes(value), i32::from_be_bytes(echo))
        }
        _ => format!("(Unknown {kind} {:?})", String::from_utf8_lossy(value)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What Linux sends.
    const SYN_OPTIONS: [u8; 20] = [2, 4, 5, 180, 4, 2, 8, 10, 0, 0, 0, 123, 0, 0, 0, 0, 1, 3, 3, 7];

    fn frame() -> Vec<u8> {
        let mut frame = vec![0; 12];
        frame.extend([8, 0, 0x45, 0, 0, 60, 0, 0, 0x40, 0, 64, 6, 0, 0, 10, 0, 0, 2, 10, 0, 0, 1]);
        frame.extend([0x9c, 0x40, 0, 80, 0xde, 0xad, 0xbe, 0xef, 0, 0, 0, 0, 0xa0, SYN]);
        frame.extend([0x72, 0x10, 0, 0, 0, 0]);
        frame.extend(SYN_OPTIONS);
        frame
    }

    #[test]
    fn a_syn_is_read() {
        let segment = Segment::parse(&frame()).unwrap();
        assert!(segment.is_request() && !segment.is_answer());
        assert_eq!(segment.from, "10.0.0.2:40000".parse().unwrap());
        assert_eq!(segment.to, "10.0.0.1:80".parse().unwrap());
        assert_eq!((segment.sequence, segment.window), (0xdead_beef, 29_200));
        let expected = "((Window_size_shift 7)Noop(Timestamp 123 0)SACK_ok(MSS 1460))";
        assert_eq!(segment.options(), expected);
    }

    #[test]
    fn whatever_is_cut_off_is_nothing() {
        let frame = frame();
        for length in 14..frame.len() {
            assert!(Segment::parse(&frame[..length]).is_none(), "{length}");
        }
        for length in 0..SYN_OPTIONS.len() {
            let options = SYN_OPTIONS[..length].to_vec();
            let segment = Segment { options, ..Segment::parse(&frame).unwrap() };
            assert!(segment.options().len() < 70);
        }
    }
}
