//! What a datagram and a request cost in the network stack, for counting instructions:
//!
//! ```sh
//! cargo bench -p mayfly --bench net --no-run
//! valgrind --tool=callgrind --callgrind-out-file=/dev/null target/release/deps/net-… udp 2000
//! ```
//!
//! Take the difference of two runs with different counts, and divide. The device is a script that
//! answers each frame with the next one; its own part is in functions that are not inlined, so that
//! `callgrind_annotate --inclusive=yes` tells it.
#![allow(clippy::unwrap_used, reason = "a benchmark that cannot go on may panic")]

use std::{
    cell::RefCell,
    collections::VecDeque,
    net::Ipv4Addr,
    rc::Rc,
    task::{Context, Poll, Waker},
};

use mayfly::net::{NetConfig, Network, TcpListener, TcpStream, UdpSocket};
use mayfly_device::{
    Checksums, DeviceError, FrameBuf, FramePool, NetDevice, NetInfo, PagePool, Received,
};

const OWN_MAC: [u8; 6] = [2, 0, 0, 0, 0, 2];
const PEER_MAC: [u8; 6] = [2, 0, 0, 0, 0, 1];
const BUFFERS: usize = 512;
const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nHost: 10.0.0.2\r\nUser-Agent: bench\r\n\r\n";

/// How the peer goes on after a frame from the guest.
type Script = Box<dyn FnMut(&[u8], &mut VecDeque<Vec<u8>>)>;

struct Device {
    pool: Rc<dyn FramePool>,
    offload: bool,
    inbound: VecDeque<Vec<u8>>,
    script: Script,
    waker: Option<Waker>,
}

impl NetDevice for Device {
    fn info(&self) -> NetInfo {
        NetInfo {
            mac: OWN_MAC,
            mtu: 1500,
            headroom: 12,
            checksums: Checksums { on_transmit: self.offload, on_receive: self.offload },
            spare_buffers: BUFFERS / 4,
        }
    }

    fn pool(&self) -> Rc<dyn FramePool> {
        Rc::clone(&self.pool)
    }

    #[inline(never)]
    fn receive(&mut self) -> Option<Received> {
        let bytes = self.inbound.pop_front()?;
        let mut frame = FrameBuf::allocate(&self.pool, 0)?;
        let _ = frame.set_range(0, bytes.len());
        frame.bytes_mut().copy_from_slice(&bytes);
        Some(Received { frame, checked: self.offload })
    }

    #[inline(never)]
    fn transmit_room(&mut self) -> usize {
        256
    }

    #[inline(never)]
    fn transmit(&mut self, frame: FrameBuf) -> Result<(), DeviceError> {
        (self.script)(frame.bytes(), &mut self.inbound);
        Ok(())
    }

    #[inline(never)]
    fn flush(&mut self) {
        if !self.inbound.is_empty()
            && let Some(waker) = self.waker.take()
        {
            waker.wake();
        }
    }

    #[inline(never)]
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), DeviceError>> {
        if !self.inbound.is_empty() {
            return Poll::Ready(Ok(()));
        }
        if !self.waker.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
            self.waker = Some(cx.waker().clone());
        }
        Poll::Pending
    }
}

fn sum(bytes: &[u8]) -> u32 {
    bytes.chunks(2).map(|w| u32::from(w[0]) << 8 | u32::from(*w.get(1).unwrap_or(&0))).sum()
}

fn fold(mut sum: u32) -> [u8; 2] {
    while sum > 0xffff {
        sum = (sum >> 16) + (sum & 0xffff);
    }
    (!(sum as u16)).to_be_bytes()
}

/// An Ethernet frame from 10.0.0.1 to 10.0.0.2 with a transport segment that lacks its checksum.
fn frame(protocol: u8, mut segment: Vec<u8>) -> Vec<u8> {
    let addresses = [10, 0, 0, 1, 10, 0, 0, 2];
    let at = if protocol == 6 { 16 } else { 6 };
    let pseudo = sum(&addresses) + u32::from(protocol) + segment.len() as u32;
    let checksum = fold(pseudo + sum(&segment));
    segment[at..at + 2].copy_from_slice(&checksum);
    let mut frame = [OWN_MAC, PEER_MAC].concat();
    let length = (20 + segment.len() as u16).to_be_bytes();
    let mut ip = vec![0x45, 0, length[0], length[1], 0, 0, 0x40, 0, 64, protocol, 0, 0];
    ip.extend(addresses);
    let checksum = fold(sum(&ip));
    ip[10..12].copy_from_slice(&checksum);
    frame.extend([8, 0]);
    frame.extend(ip);
    frame.extend(segment);
    frame
}

fn arp_request() -> Vec<u8> {
    let mut frame = [[0xff; 6], PEER_MAC].concat();
    frame.extend([8, 6, 0, 1, 8, 0, 6, 4, 0, 1]);
    frame.extend(PEER_MAC);
    frame.extend([10, 0, 0, 1, 0, 0, 0, 0, 0, 0, 10, 0, 0, 2]);
    frame
}

fn start(offload: bool, script: Script) -> Network {
    let device = Device {
        pool: Rc::new(PagePool::new(2048, BUFFERS)),
        offload,
        inbound: VecDeque::from([arp_request()]),
        script,
        waker: None,
    };
    let address = Ipv4Addr::new(10, 0, 0, 2);
    Network::start(Box::new(device), NetConfig::with_static_ipv4(address, 24, None))
}

fn udp_request() -> Vec<u8> {
    let mut datagram = vec![0x80, 0, 0, 7, 0, 72, 0, 0];
    datagram.extend([0x5a; 64]);
    frame(17, datagram)
}

async fn udp(count: u64, offload: bool, window: usize) {
    let request = udp_request();
    let script: Script = Box::new(move |sent, inbound| {
        // Anything that is UDP is an answer; the answer to ARP starts it all.
        let batch = if sent[12..14] == [8, 6] { window } else { usize::from(sent[23] == 17) };
        for _ in 0..batch {
            inbound.push_back(request.clone());
        }
    });
    let network = start(offload, script);
    let socket = UdpSocket::bind_with(&network, 7, 512).await.unwrap();
    for _ in 0..count {
        let datagram = socket.recv().await.unwrap();
        socket.reply(&datagram, datagram.payload()).await.unwrap();
    }
    println!("{:?}", network.stats());
}

/// A client that sends the next request when the answer to the last one has arrived.
struct Client {
    port: u16,
    sequence: u32,
    next: u32,
    answer: usize,
    left: usize,
}

impl Client {
    fn segment(&mut self, flags: u8, payload: &[u8]) -> Vec<u8> {
        let mut segment = self.port.to_be_bytes().to_vec();
        segment.extend([0, 80]);
        segment.extend(self.sequence.to_be_bytes());
        segment.extend(self.next.to_be_bytes());
        segment.extend([0x50, flags, 0xff, 0xff, 0, 0, 0, 0]);
        segment.extend(payload);
        self.sequence += payload.len() as u32 + u32::from(flags & 2 != 0);
        frame(6, segment)
    }

    fn answered(&mut self, sent: &[u8]) -> Option<Vec<u8>> {
        let tcp = &sent[34..];
        let number = |at: usize| u32::from_be_bytes(tcp[at..at + 4].try_into().unwrap());
        let payload = tcp.len() - usize::from(tcp[12] >> 4) * 4;
        if tcp[13] & 2 != 0 {
            self.next = number(4) + 1;
            return Some(self.segment(0x18, REQUEST));
        }
        self.next = number(4).wrapping_add(payload as u32);
        self.left = self.left.saturating_sub(payload);
        if payload == 0 || self.left > 0 {
            return None;
        }
        self.left = self.answer;
        Some(self.segment(0x18, REQUEST))
    }
}

/// As many clients as `connections` that ask again when they have an answer of `answer` bytes, and
/// `idle` ones that only connect. With `acknowledge` they acknowledge an answer before they ask.
fn clients(connections: u16, idle: u16, acknowledge: bool, answer: usize) -> Script {
    let mut clients: Vec<Client> = (0..connections + idle)
        .map(|number| Client {
            port: 10_000 + number,
            sequence: 1000,
            next: 0,
            answer,
            left: answer,
        })
        .collect();
    Box::new(move |sent, inbound| {
        if sent[12..14] == [8, 6] {
            for client in &mut clients {
                inbound.push_back(client.segment(2, &[]));
            }
        } else if sent[23] == 6 {
            let port = u16::from_be_bytes([sent[36], sent[37]]);
            let client = &mut clients[usize::from(port - 10_000)];
            if let Some(frame) = client.answered(sent)
                && port - 10_000 < connections
            {
                if acknowledge {
                    client.sequence -= REQUEST.len() as u32;
                    let ack = client.segment(0x10, &[]);
                    client.sequence += REQUEST.len() as u32;
                    inbound.push_back(ack);
                }
                inbound.push_back(frame);
            } else if sent[47] & 2 != 0 {
                client.sequence -= REQUEST.len() as u32;
                let ack = client.segment(0x10, &[]);
                inbound.push_back(ack);
            }
        }
    })
}

/// Answers all requests on `stream`, and calls `answered` after each.
async fn serve(mut stream: TcpStream, answer: &[u8], mut answered: impl FnMut()) {
    let mut buffer = [0; 1024];
    let mut filled = 0;
    loop {
        filled += stream.read(&mut buffer[filled..]).await.unwrap();
        if !buffer[..filled].ends_with(b"\r\n\r\n") {
            continue;
        }
        filled = 0;
        stream.write_all(answer).await.unwrap();
        answered();
    }
}

async fn http(count: u64, offload: bool, connections: u16, idle: u16, acknowledge: bool) {
    let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n".to_vec();
    let answer = [answer, vec![b'x'; 100]].concat();
    let network = start(offload, clients(connections, idle, acknowledge, answer.len()));
    let mut listener = TcpListener::bind(&network, 80).await.unwrap();
    let served = Rc::new(RefCell::new(0));
    let done = Rc::new(mayfly::sync::Notify::new());
    let (total, end) = (Rc::clone(&served), Rc::clone(&done));
    mayfly::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let (answer, total, end) = (answer.clone(), Rc::clone(&total), Rc::clone(&end));
            let answered = move || {
                *total.borrow_mut() += 1;
                if *total.borrow() == count {
                    end.notify_one();
                }
            };
            mayfly::spawn(async move { serve(stream, &answer, answered).await }).detach();
        }
    })
    .detach();
    done.notified().await;
    println!("{:?}", network.stats());
}

fn main() {
    let words: Vec<String> = std::env::args().skip(1).filter(|word| word != "--bench").collect();
    let number =
        |at: usize, or: u64| words.get(at).and_then(|word| word.parse().ok()).unwrap_or(or);
    let count = number(1, 1000);
    let kind = words.first().map_or("udp", String::as_str);
    mayfly::executor::run(async {
        match kind {
            "udp" => udp(count, true, number(2, 1) as usize).await,
            "udp-sum" => udp(count, false, number(2, 1) as usize).await,
            "http" => http(count, true, number(2, 1) as u16, number(3, 0) as u16, false).await,
            "http-ack" => http(count, true, number(2, 1) as u16, number(3, 0) as u16, true).await,
            "http-sum" => http(count, false, number(2, 1) as u16, number(3, 0) as u16, false).await,
            _ => println!("usage: net [udp|udp-sum|http|http-ack|http-sum] COUNT [WINDOW] [IDLE]"),
        }
    });
}
