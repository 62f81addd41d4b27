//! A peer that sends as much as it has ever been allowed to, and keeps the accounts.

mod recorded;

use std::time::Duration;

use mayfly::time::{sleep, timeout};
use smoltcp::{
    phy::ChecksumCapabilities,
    wire::{
        ArpOperation, ArpPacket, ArpRepr, EthernetAddress, EthernetFrame, EthernetProtocol,
        IpAddress, IpProtocol, IpRepr, Ipv4Address, Ipv4Packet, TcpControl, TcpPacket, TcpRepr,
        TcpSeqNumber,
    },
};

use crate::{
    link::{Dice, LinkDevice},
    peer::Raw,
};

const OWN: Ipv4Address = Ipv4Address::new(10, 0, 0, 1);
const OTHER: Ipv4Address = Ipv4Address::new(10, 0, 0, 2);
const OWN_MAC: EthernetAddress = EthernetAddress([2, 0, 0, 0, 0, 1]);
const OTHER_MAC: EthernetAddress = EthernetAddress([2, 0, 0, 0, 0, 2]);
const SEGMENT: usize = 1460;
/// Without an acknowledgement for so long, everything is sent again.
const PATIENCE: Duration = Duration::from_millis(300);

/// 10.0.0.1, which sends to 10.0.0.2.
pub struct Sender {
    raw: Raw,
    ports: (u16, u16),
    /// The sequence number of the first byte.
    start: TcpSeqNumber,
    /// The number that the other side sends next.
    other: TcpSeqNumber,
    /// The scale that this side offers, and the one that both use.
    offers: Option<u8>,
    /// Time that it takes for each segment.
    pub pace: Duration,
    /// Whether somebody who guesses numbers answers a request first, without a scale.
    pub is_forged: bool,
    pub scale: Option<u8>,
    /// The largest window that it was told.
    pub largest: usize,
    /// How often it was told that there is no room.
    pub closed: usize,
    /// How often everything was sent again.
    pub repeats: usize,
}

impl Sender {
    /// A peer whose SYN has the number before `start`.
    pub fn new(device: LinkDevice, start: u32, offers: Option<u8>) -> Self {
        Self {
            raw: Raw(device),
            ports: (40_000, 80),
            start: TcpSeqNumber(start as i32),
            other: TcpSeqNumber(0),
            offers,
            pace: Duration::ZERO,
            is_forged: false,
            scale: None,
            largest: 0,
            closed: 0,
            repeats: 0,
        }
    }

    fn repr(&self, at: usize, payload: &'static [u8]) -> TcpRepr<'static> {
        TcpRepr {
            src_port: self.ports.0,
            dst_port: self.ports.1,
            control: TcpControl::None,
            seq_number: self.start + at,
            ack_number: Some(self.other),
            window_len: 60_000,
            window_scale: None,
            max_seg_size: None,
            sack_permitted: false,
            sack_ranges: [None; 3],
            timestamp: None,
            payload,
        }
    }

    fn syn(&self, ack: Option<TcpSeqNumber>) -> TcpRepr<'static> {
        TcpRepr {
            control: TcpControl::Syn,
            seq_number: self.start - 1,
            ack_number: ack,
            max_seg_size: Some(SEGMENT as u16),
            sack_permitted: true,
            window_scale: self.offers,
            ..self.repr(0, &[])
        }
    }

    fn send(&mut self, repr: &TcpRepr<'_>) {
        let (source, destination) = (IpAddress::Ipv4(OWN), IpAddress::Ipv4(OTHER));
        let ip = IpRepr::new(source, destination, IpProtocol::Tcp, repr.buffer_len(), 64);
        let mut bytes = vec![0; 14 + ip.buffer_len()];
        let mut frame = EthernetFrame::new_unchecked(&mut bytes[..]);
        frame.set_src_addr(OWN_MAC);
        frame.set_dst_addr(OTHER_MAC);
        frame.set_ethertype(EthernetProtocol::Ipv4);
        let sums = ChecksumCapabilities::default();
        ip.emit(frame.payload_mut(), &sums);
        let mut packet = TcpPacket::new_unchecked(&mut bytes[34..]);
        repr.emit(&mut packet, &source, &destination, &sums);
        self.raw.send(&bytes);
    }

    /// Waits for a segment that is whole, and meanwhile answers who asks for its address.
    async fn hear(&mut self) -> Vec<u8> {
        loop {
            let bytes = self.raw.receive().await;
            match bytes[12..14] {
                [8, 0] if is_whole(&bytes) => return bytes,
                [8, 6] => self.introduce(),
                _ => {}
            }
        }
    }

    fn introduce(&mut self) {
        let repr = ArpRepr::EthernetIpv4 {
            operation: ArpOperation::Reply,
            source_hardware_addr: OWN_MAC,
            source_protocol_addr: OWN,
            target_hardware_addr: OTHER_MAC,
            target_protocol_addr: OTHER,
        };
        let mut bytes = vec![0; 14 + repr.buffer_len()];
        let mut frame = EthernetFrame::new_unchecked(&mut bytes[..]);
        frame.set_src_addr(OWN_MAC);
        frame.set_dst_addr(OTHER_MAC);
        frame.set_ethertype(EthernetProtocol::Arp);
        repr.emit(&mut ArpPacket::new_unchecked(frame.payload_mut()));
        self.raw.send(&bytes);
    }

    /// Takes note of what the other side's SYN says.
    fn begin(&mut self, bytes: &[u8]) {
        let packet = TcpPacket::new_checked(&bytes[34..]).unwrap();
        assert!(packet.syn());
        self.ports = (packet.dst_port(), packet.src_port());
        self.other = packet.seq_number() + 1;
        let options = packet.options_summary().unwrap();
        self.scale = options.window_scale.filter(|_| self.offers.is_some());
    }

    /// Connects to port 80.
    pub async fn connect(&mut self) {
        loop {
            self.send(&self.syn(None));
            if let Ok(bytes) = timeout(PATIENCE, self.hear()).await {
                self.begin(&bytes);
                let scale = TcpPacket::new_unchecked(&bytes[34..]).options_summary().unwrap();
                assert_eq!(scale.window_scale.is_some(), self.offers.is_some());
                return self.send(&self.repr(0, &[]));
            }
        }
    }

    /// Waits to be connected to.
    pub async fn accept(&mut self) {
        self.introduce();
        let bytes = self.hear().await;
        self.begin(&bytes);
        if self.is_forged {
            let guess = Some(self.other + 12_345);
            self.send(&TcpRepr { window_scale: None, ..self.syn(guess) });
            let answer = self.hear().await;
            assert!(TcpPacket::new_unchecked(&answer[34..]).rst());
        }
        self.send(&self.syn(Some(self.other)));
    }

    /// Acknowledges what was read.
    pub fn acknowledge(&mut self) {
        self.send(&self.repr(0, &[]));
    }

    /// Reads `length` bytes, as Linux does: the window grows with each segment, and when one is
    /// missing, the others are acknowledged by selection. Those get lost that `is_lost` says.
    pub async fn read_selecting(&mut self, length: usize, mut is_lost: impl FnMut(usize) -> bool) {
        let start = self.other;
        // Where the pieces begin and end that came behind a gap.
        let mut pieces: Vec<(usize, usize)> = Vec::new();
        let mut done = 0;
        for count in 0.. {
            if done >= length {
                return;
            }
            let bytes = self.hear().await;
            let packet = TcpPacket::new_checked(&bytes[34..]).unwrap();
            let at = packet.seq_number().0.wrapping_sub(start.0) as usize;
            let end = at + packet.payload().len();
            if end == at || is_lost(count) {
                continue;
            }
            pieces.push((at, end));
            pieces.sort_unstable();
            while let Some(next) = pieces.iter().position(|(at, end)| *at <= done && *end > done) {
                done = pieces.remove(next).1;
            }
            pieces.retain(|(_, end)| *end > done);
            self.other = start + done;
            let number = |offset: usize| (start + offset).0 as u32;
            let gap = pieces.first().map(|(at, end)| (number(*at), number(*end)));
            let window_len = 20_000 + 10 * count as u16;
            self.send(&TcpRepr { window_len, sack_ranges: [gap, None, None], ..self.repr(0, &[]) });
        }
    }

    /// Reads until something comes again, and then acknowledges so many bytes one by one. Returns how
    /// many frames come meanwhile.
    pub async fn nibble(&mut self, bytes: usize) -> usize {
        let mut newest = self.other - 1;
        loop {
            let frame = self.hear().await;
            let number = TcpPacket::new_checked(&frame[34..]).unwrap().seq_number();
            if number <= newest {
                break;
            }
            newest = number;
        }
        let mut frames = 0;
        for _ in 0..bytes {
            self.other += 1;
            self.acknowledge();
            while timeout(Duration::from_millis(1), self.hear()).await.is_ok() {
                frames += 1;
            }
        }
        frames
    }

    /// Reads what the other side sends, acknowledges all of it, but not its end, and returns when that
    /// comes.
    pub async fn read_to_the_end(&mut self) {
        loop {
            let bytes = self.hear().await;
            let packet = TcpPacket::new_checked(&bytes[34..]).unwrap();
            if packet.fin() {
                return;
            }
            self.other = packet.seq_number() + packet.payload().len();
            if !packet.payload().is_empty() {
                self.acknowledge();
            }
        }
    }

    /// Takes the first segment, leaves room for one byte, and loses that. Returns when it has come again;
    /// meanwhile, says something twice a second.
    pub async fn lose_the_last_that_fits(&mut self) {
        let bytes = self.hear().await;
        let packet = TcpPacket::new_checked(&bytes[34..]).unwrap();
        self.other = packet.seq_number() + packet.payload().len();
        let mut is_lost = false;
        for at in 0.. {
            let repr = TcpRepr { window_len: 1, ..self.repr(at, b"x") };
            self.send(&repr);
            let heard = timeout(Duration::from_millis(500), self.hear());
            if heard.await.is_ok_and(|bytes| self.is_next(&bytes)) {
                if is_lost {
                    return;
                }
                is_lost = true;
            }
        }
    }

    /// Takes seven bytes of the first segment, says that there is no room, and that there is again.
    /// Returns when the rest comes; answers everything else.
    pub async fn close_and_open(&mut self) {
        let bytes = self.hear().await;
        self.other = TcpPacket::new_checked(&bytes[34..]).unwrap().seq_number() + 7;
        let with_window = |window_len| TcpRepr { window_len, ..self.repr(0, &[]) };
        let (closed, open) = (with_window(0), with_window(3000));
        self.send(&closed);
        self.send(&open);
        loop {
            let bytes = self.hear().await;
            if self.is_next(&bytes) {
                return;
            }
            self.send(&open);
        }
    }

    /// Ends, takes seven bytes of what comes, and says that there is no room, and with a byte that was
    /// there before that there is; after `pause`, answers everything. Returns when the rest comes.
    pub async fn end_and_close(&mut self, pause: Duration) {
        self.send(&TcpRepr { control: TcpControl::Fin, ..self.repr(0, &[]) });
        let data = loop {
            let bytes = self.hear().await;
            let packet = TcpPacket::new_checked(&bytes[34..]).unwrap();
            if !packet.payload().is_empty() {
                break packet.seq_number();
            }
        };
        self.other = data + 7;
        self.send(&TcpRepr { window_len: 0, ..self.repr(1, &[]) });
        self.send(&TcpRepr { window_len: 3000, ..self.repr(0, b"x") });
        sleep(pause).await;
        loop {
            let bytes = self.hear().await;
            if self.is_next(&bytes) {
                return;
            }
            self.send(&TcpRepr { window_len: 3000, ..self.repr(1, &[]) });
        }
    }

    /// Whether there is data in a segment that begins where the last has ended.
    fn is_next(&self, bytes: &[u8]) -> bool {
        let packet = TcpPacket::new_checked(&bytes[34..]).unwrap();
        packet.seq_number() == self.other && !packet.payload().is_empty()
    }

    /// Sends `data`, in segments of any size, and waits until all of it is acknowledged.
    pub async fn run(&mut self, data: &'static [u8], dice: &mut Dice) {
        // What is acknowledged, what was sent, and what may be sent.
        let (mut done, mut sent, mut edge) = (0, 0, 0);
        let mut is_open = false;
        while done < data.len() {
            while sent < edge.min(data.len()) {
                let most = SEGMENT.min(edge - sent).min(data.len() - sent);
                // Mostly full ones, as usual.
                let length =
                    if dice.below(8) > 0 { most } else { 1 + dice.below(most as u64) as usize };
                self.send(&self.repr(sent, &data[sent..sent + length]));
                sent += length;
                if self.pace > Duration::ZERO {
                    sleep(self.pace).await;
                }
            }
            let Ok(bytes) = timeout(PATIENCE, self.hear()).await else {
                if is_open || sent > done {
                    self.repeats += 1;
                    sent = done;
                } else {
                    // It probes a window that is closed, with a byte that was acknowledged.
                    let before = self.repr(0, &[]);
                    self.send(&TcpRepr { seq_number: self.start + done - 1, ..before });
                }
                continue;
            };
            let packet = TcpPacket::new_checked(&bytes[34..]).unwrap();
            if packet.syn() {
                // The answer to it was lost.
                if !packet.ack() {
                    self.send(&self.syn(Some(self.other)));
                }
                continue;
            }
            let ack = packet.ack_number().0.wrapping_sub(self.start.0) as usize;
            assert!(ack <= data.len(), "{ack} was never sent");
            let window = usize::from(packet.window_len()) << self.scale.unwrap_or(0);
            self.largest = self.largest.max(window);
            self.closed += usize::from(window == 0);
            done = done.max(ack);
            sent = sent.max(done);
            edge = edge.max(ack + window);
            is_open = edge > done;
        }
    }
}

/// Whether a frame from the other side has arrived without damage.
fn is_whole(bytes: &[u8]) -> bool {
    let ip = bytes.get(14..).and_then(|bytes| Ipv4Packet::new_checked(bytes).ok());
    let Some(ip) = ip.filter(|ip| ip.verify_checksum() && ip.next_header() == IpProtocol::Tcp)
    else {
        return false;
    };
    TcpPacket::new_checked(ip.payload())
        .is_ok_and(|packet| packet.verify_checksum(&OTHER.into(), &OWN.into()))
}
