//! What a network must survive: frames of every kind, mutated at every layer, with their checksums
//! put right again so that they get past the first checks.

use std::{
    cell::RefCell,
    net::{IpAddr, SocketAddr},
    rc::Rc,
    time::Duration,
};

use mayfly::{
    net::{AddressKind, NetConfig, Network, TcpListener, TcpStream, UdpSocket},
    spawn,
    time::{sleep, timeout},
};

use crate::{
    addresses::dhcp_server,
    link::{Dice, Faults, Link},
    names::dns_server,
    routers::router_advertisement,
    support::{simulate, static_config},
};

pub fn sum(bytes: &[u8], mut sum: u32) -> u32 {
    for pair in bytes.chunks(2) {
        sum += u32::from(pair[0]) << 8 | u32::from(*pair.get(1).unwrap_or(&0));
    }
    sum
}

pub fn complement(mut sum: u32) -> [u8; 2] {
    while sum > 0xffff {
        sum = (sum >> 16) + (sum & 0xffff);
    }
    (!(sum as u16)).to_be_bytes()
}

/// Computes the checksums of a frame anew, as far as its headers can be understood.
pub fn repair(frame: &mut [u8]) {
    if frame.len() < 34 {
        return;
    }
    let (start, protocol, pseudo) = match (frame[12], frame[13]) {
        (8, 0) => {
            let header = 14 + usize::from(frame[14] & 15) * 4;
            if header > frame.len() || header < 34 {
                return;
            }
            frame[24..26].fill(0);
            let checksum = complement(sum(&frame[14..header], 0));
            frame[24..26].copy_from_slice(&checksum);
            (header, frame[23], sum(&frame[26..34], 0))
        }
        (0x86, 0xdd) if frame.len() >= 54 => (54, frame[20], sum(&frame[22..54], 0)),
        _ => return,
    };
    let total = usize::from(u16::from_be_bytes([frame[16], frame[17]]));
    let end = if frame[12] == 8 {
        14 + total
    } else {
        54 + usize::from(u16::from_be_bytes([frame[18], frame[19]]))
    };
    let end = end.clamp(start, frame.len());
    let (at, pseudo) = match protocol {
        1 => (2, 0),
        6 => (16, pseudo + 6 + (end - start) as u32),
        17 => (6, pseudo + 17 + (end - start) as u32),
        58 => (2, pseudo + 58 + (end - start) as u32),
        _ => return,
    };
    if start + at + 2 > end {
        return;
    }
    frame[start + at..start + at + 2].fill(0);
    let checksum = complement(sum(&frame[start..end], pseudo));
    frame[start + at..start + at + 2].copy_from_slice(&checksum);
}

fn mutate(frame: &mut Vec<u8>, dice: &mut Dice) {
    const SPECIAL: [u8; 8] = [0, 1, 0x7f, 0x80, 0xff, 0xfe, 4, 0x40];
    for _ in 0..=dice.below(4) {
        let length = frame.len() as u64;
        // Headers are more interesting than payloads.
        let reach = if dice.below(4) == 0 { length } else { length.min(100) };
        let at = dice.below(reach) as usize;
        match dice.below(8) {
            0 => frame[at] ^= 1 << dice.below(8),
            1 => frame[at] = dice.next() as u8,
            2 => frame[at] = SPECIAL[dice.below(8) as usize],
            3 => frame[at] = frame[at].wrapping_add(1),
            4 => frame.truncate(at.max(1)),
            5 => frame.extend(std::iter::repeat_n(dice.next() as u8, dice.below(40) as usize)),
            6 => {
                let number = dice.next().to_be_bytes();
                let end = (at + 4).min(frame.len());
                frame[at..end].copy_from_slice(&number[..end - at]);
            }
            _ => {
                let from = dice.below(length) as usize;
                let end = (from + 8).min(frame.len());
                let copy = frame[from..end].to_vec();
                let end = (at + copy.len()).min(frame.len());
                frame[at..end].copy_from_slice(&copy[..end - at]);
            }
        }
    }
    frame.truncate(1600);
    if dice.below(10) > 0 {
        repair(frame);
    }
}

/// A guest that does everything at once, with all its peers on the other end of the link.
async fn busy(network: Network) {
    let mut listener = TcpListener::bind_with(&network, 80, 16, Default::default()).await.unwrap();
    let echo = UdpSocket::bind(&network, 7).await.unwrap();
    spawn(async move {
        loop {
            let datagram = echo.recv().await.unwrap();
            let _ = echo.reply(&datagram, datagram.payload()).await;
        }
    })
    .detach();
    let names = network.clone();
    spawn(async move {
        loop {
            let _ = names.resolve("host.test", AddressKind::V4).await;
            let _ = names.resolve("silent.test", AddressKind::V6).await;
            sleep(Duration::from_millis(50)).await;
        }
    })
    .detach();
    let out = network.clone();
    spawn(async move {
        loop {
            if let Ok(mut stream) = TcpStream::connect(&out, "10.0.0.1:81".parse().unwrap()).await {
                let _ = stream.write_all(&[1; 9000]).await;
                let _ = timeout(Duration::from_secs(1), stream.read(&mut [0; 100])).await;
            }
            sleep(Duration::from_millis(30)).await;
        }
    })
    .detach();
    loop {
        let (mut stream, _) = listener.accept().await.unwrap();
        spawn(async move {
            let mut buffer = [0; 3000];
            while let Ok(Ok(length @ 1..)) =
                timeout(Duration::from_secs(5), stream.read(&mut buffer)).await
            {
                if stream.write_all(&buffer[..length]).await.is_err() {
                    break;
                }
            }
        })
        .detach();
    }
}

async fn peers(network: &Network) {
    spawn(dhcp_server(network.clone(), 600, Rc::default())).detach();
    spawn(dns_server(network.clone())).detach();
    let mut listener = TcpListener::bind(network, 81).await.unwrap();
    spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            spawn(async move {
                while let Ok(1..) = stream.read(&mut [0; 1000]).await {}
                let _ = stream.write_all(&[2; 50]).await;
            })
            .detach();
        }
    })
    .detach();
    let network = network.clone();
    spawn(async move {
        let socket = UdpSocket::bind(&network, 0).await.unwrap();
        loop {
            let _ = socket.send_to(&[3; 100], "10.0.0.99:7".parse().unwrap()).await;
            let _ = socket.send_to(&[3; 100], "10.0.0.99:9".parse().unwrap()).await;
            if let Ok(mut stream) =
                TcpStream::connect(&network, "10.0.0.99:80".parse().unwrap()).await
            {
                let _ = stream.write_all(&[4; 5000]).await;
                let mut buffer = [0; 1000];
                for _ in 0..5 {
                    let _ = timeout(Duration::from_millis(100), stream.read(&mut buffer)).await;
                }
            }
            sleep(Duration::from_millis(20)).await;
        }
    })
    .detach();
}

/// What the victim has got from its peers, to be sent once more in another shape.
struct Recording(Rc<RefCell<Vec<Vec<u8>>>>);

impl Recording {
    fn start(link: &Link) -> Self {
        let recorded = Rc::new(RefCell::new(Vec::<Vec<u8>>::new()));
        let record = Rc::clone(&recorded);
        link.tap(move |end, frame| {
            let mut recorded = record.borrow_mut();
            if end == 0 && recorded.len() < 3000 {
                recorded.push(frame.to_vec());
            }
            true
        });
        Self(recorded)
    }

    /// Adds a frame that nobody has sent.
    fn add(&self, frame: Vec<u8>) {
        self.0.borrow_mut().push(frame);
    }

    /// A copy of one of the frames.
    fn pick(&self, dice: &mut Dice) -> Vec<u8> {
        let recorded = self.0.borrow();
        // The latest are about connections that still exist.
        let latest = if dice.below(2) == 0 { 40 } else { recorded.len() as u64 };
        let back = dice.below(latest.min(recorded.len() as u64)) as usize;
        recorded[recorded.len() - 1 - back].clone()
    }

    /// Makes room for another frame.
    fn forget_oldest(&self) {
        self.0.borrow_mut().remove(0);
    }
}

/// Whether the guest at `own` still answers, after some time if it must be.
async fn is_served(peer: &Network, own: IpAddr) -> bool {
    let target = SocketAddr::new(own, 80);
    for _ in 0..5 {
        let connect = timeout(Duration::from_secs(20), TcpStream::connect(peer, target));
        if let Ok(Ok(mut stream)) = connect.await {
            stream.write_all(b"alive?").await.unwrap();
            return stream.read(&mut [0; 10]).await == Ok(6);
        }
        sleep(Duration::from_secs(70)).await;
    }
    false
}

fn storm(seed: u64, frames: u64) {
    simulate(async move {
        let (link, a, b) = Link::new(Faults::default(), seed);
        let peer = Network::start(a.boxed(), static_config(1));
        peers(&peer).await;
        let victim = Network::start(b.boxed(), NetConfig { seed: 77, ..NetConfig::default() });
        let recording = Recording::start(&link);
        victim.wait_configured().await.unwrap();
        spawn(busy(victim.clone())).detach();
        let router = "fe80::ff:fe00:1".parse().unwrap();
        let prefix = "2001:db8::".parse().unwrap();
        recording.add(router_advertisement(router, prefix, 1800, 3600, 255));
        sleep(Duration::from_secs(2)).await;
        let mut dice = Dice(seed ^ 0xabcd);
        for number in 0..frames {
            let mut frame = recording.pick(&mut dice);
            mutate(&mut frame, &mut dice);
            link.inject(1, &frame);
            if number % 8 == 0 {
                sleep(Duration::from_micros(200)).await;
            }
            if number % 800 == 0 {
                recording.forget_oldest();
            }
        }
        // ARP may have been lied to; a minute later the truth is asked for again.
        sleep(Duration::from_secs(130)).await;
        // A forged answer of the DHCP server may have moved it elsewhere.
        let own: IpAddr = "10.0.0.99".parse().unwrap();
        if victim.addresses().contains(&(own, 24)) {
            let served = is_served(&peer, own).await;
            assert!(served, "{victim:?} at {:?} does not answer any more", victim.gateways());
        }
        println!("seed {seed}: {:?}", victim.stats());
    });
}

#[test]
fn mutated_frames() {
    let seeds = std::env::var("MAYFLY_SEEDS").map_or(4, |seeds| seeds.parse().unwrap());
    let first = std::env::var("MAYFLY_SEED").map_or(0, |seed| seed.parse().unwrap());
    for seed in first..first + seeds {
        storm(seed, 5_000);
    }
}

#[test]
fn random_frames() {
    simulate(async {
        let (link, a, b) = Link::new(Faults::default(), 1);
        let _peer = Network::start(a.boxed(), static_config(1));
        let victim = Network::start(b.boxed(), static_config(2));
        let mut dice = Dice(5);
        for _ in 0..20_000 {
            let length = dice.below(120) as usize;
            let mut frame: Vec<u8> = (0..length).map(|_| dice.next() as u8).collect();
            if length > 14 && dice.below(4) > 0 {
                frame[..6].copy_from_slice(&victim.mac());
                frame[6] &= 0xfe;
                let types = [[8, 0], [8, 6], [0x86, 0xdd]];
                frame[12..14].copy_from_slice(&types[dice.below(3) as usize]);
                frame[14] = [0x45, 0x60, 0x46, 0][dice.below(4) as usize];
                repair(&mut frame);
            }
            link.inject(1, &frame);
            sleep(Duration::from_micros(1)).await;
        }
        assert!(victim.stats().received_frames >= 20_000);
    });
}
