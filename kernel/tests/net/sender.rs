//! A peer that sends as much as it has ever been allowed to, and keeps the accounts.

use std::time::Duration;

use mayfly::time::{sleep, timeout};
use smoltcp::{
    phy::ChecksumCapabilities,
    wire::{
        ArpOperation, ArpPacket, ArpRepr, EthernetAddress, EthernetFrame, EthernetProtocol,
        IpAddress, IpProtocol, IpRepr, Ipv4Address, TcpControl, TcpPacket, TcpRepr, TcpSeqNumber,
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

    /// Waits for a segment, and meanwhile answers who asks for its address.
    async fn hear(&mut self) -> Vec<u8> {
        loop {
            let bytes = self.raw.receive().await;
            match bytes[12..14] {
                [8, 0] => return bytes,
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
            let Some(packet) = TcpPacket::new_checked(&bytes[34..]).ok() else { continue };
            if !packet.verify_checksum(&OTHER.into(), &OWN.into()) {
                continue;
            }
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
