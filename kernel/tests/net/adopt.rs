//! Connections that are made of a SYN that somebody else has recorded.

use std::{cell::RefCell, net::SocketAddr, rc::Rc, time::Duration};

use embedded_io_async::Read;
use mayfly::{
    net::{AdoptError, Network, SynRecord, TcpListener, TcpOptions, TcpStream},
    spawn,
    time::{Instant, sleep},
};

use crate::{
    link::{Faults, Link},
    sender::Sender,
    support::{CLIENT, SERVER, pair, pair_v6, pattern, server, server_v6, simulate, static_config},
};

const SYN: u8 = 0x02;
const SYN_ACK: u8 = 0x12;
/// What this side is to begin with: it wraps around soon.
const OWN_SEQUENCE: u32 = u32::MAX - 2;

/// The TCP header in a frame, if there is one.
fn tcp(frame: &[u8]) -> Option<&[u8]> {
    match (&frame[12..14], frame[23], frame[20]) {
        ([8, 0], 6, _) => Some(&frame[34..]),
        ([0x86, 0xdd], _, 6) => Some(&frame[54..]),
        _ => None,
    }
}

fn word(tcp: &[u8], at: usize) -> u32 {
    u32::from_be_bytes(tcp[at..at + 4].try_into().unwrap())
}

/// All segments with SYN that were sent: from which end, and the segment.
type Seen = Rc<RefCell<Vec<(usize, Vec<u8>)>>>;

/// Keeps the first `lost` SYNs of the client away from the server.
fn proxy(link: &Link, mut lost: usize) -> Seen {
    let seen = Seen::default();
    let keep = Rc::clone(&seen);
    link.tap(move |end, frame| {
        let Some(tcp) = tcp(frame).filter(|tcp| tcp[13] & SYN != 0) else { return true };
        keep.borrow_mut().push((end, tcp.to_vec()));
        let passes = end == 0 || lost == 0;
        lost -= usize::from(!passes);
        passes
    });
    seen
}

/// What a recorder writes down of a SYN.
fn record(tcp: &[u8], local: SocketAddr, remote: SocketAddr) -> SynRecord {
    let mut options = &tcp[20..usize::from(tcp[12] >> 4) * 4];
    let mut record = SynRecord {
        local,
        remote: SocketAddr::new(remote.ip(), u16::from_be_bytes([tcp[0], tcp[1]])),
        sequence: word(tcp, 4),
        own_sequence: OWN_SEQUENCE,
        window: u16::from_be_bytes([tcp[14], tcp[15]]),
        max_segment_size: None,
        window_scale: None,
        allows_sack: false,
    };
    loop {
        match *options {
            [2, 4, a, b, ..] => record.max_segment_size = Some(u16::from_be_bytes([a, b])),
            [3, 3, scale, ..] => record.window_scale = Some(scale),
            [4, 2, ..] => record.allows_sack = true,
            [0, ..] | [] => return record,
            _ => {}
        }
        options = &options[if options[0] == 1 { 1 } else { usize::from(options[1]) }..];
    }
}

/// A client connects while nobody answers, and the server takes over after half a second.
async fn take_over(link: Link, (a, b): (Network, Network), local: SocketAddr) {
    let seen = proxy(&link, 1);
    let mut listener = TcpListener::bind(&a, local.port()).await.unwrap();
    let remote = match local {
        SocketAddr::V4(_) => SocketAddr::new(CLIENT, 0),
        SocketAddr::V6(_) => "[fd00::2]:0".parse().unwrap(),
    };
    let start = Instant::now();
    let client = spawn(async move { TcpStream::connect(&b, local).await.unwrap() });
    sleep(Duration::from_millis(500)).await;
    let syn = seen.borrow()[0].1.clone();
    a.adopt(&record(&syn, local, remote)).unwrap();
    let mut client = client.await.unwrap();
    assert!(start.elapsed() < Duration::from_millis(510), "it took {:?}", start.elapsed());
    let (mut stream, peer) = listener.accept().await.unwrap();
    assert_eq!(peer.port(), u16::from_be_bytes([syn[0], syn[1]]));
    let (there, back) = (pattern(100_000, 1), pattern(100_000, 2));
    let echo = spawn({
        let (there, back) = (there.clone(), back.clone());
        async move {
            let mut got = vec![0; there.len()];
            stream.read_exact(&mut got).await.unwrap();
            assert!(got == there);
            stream.write_all(&back).await.unwrap();
            stream.close().await.unwrap();
        }
    });
    client.write_all(&there).await.unwrap();
    let mut got = vec![0; back.len()];
    client.read_exact(&mut got).await.unwrap();
    assert!(got == back);
    client.close().await.unwrap();
    echo.await.unwrap();
    let seen = seen.borrow();
    let answers: Vec<_> = seen.iter().filter(|(end, _)| *end == 0).collect();
    assert_eq!((seen.len(), answers.len()), (2, 1), "no SYN was repeated");
    let answer = &answers[0].1;
    assert_eq!((answer[13], word(answer, 4)), (SYN_ACK, OWN_SEQUENCE));
    assert_eq!(word(answer, 8), word(&syn, 4).wrapping_add(1));
}

#[test]
fn a_client_that_nobody_answered_is_served() {
    simulate(async {
        let (link, a, b) = pair(Faults::default(), 1);
        take_over(link, (a, b), server(80)).await;
        let (link, a, b) = pair_v6(Faults::default(), 1);
        take_over(link, (a, b), server_v6(80)).await;
    });
}

/// A server without connections, and a record that it would take.
async fn offered() -> (Link, Network, Network, SynRecord) {
    let (link, a, b) = pair(Faults::default(), 1);
    let record = SynRecord {
        local: server(80),
        remote: SocketAddr::new(CLIENT, 50_000),
        sequence: 7,
        own_sequence: OWN_SEQUENCE,
        window: 1000,
        max_segment_size: Some(1460),
        window_scale: Some(255),
        allows_sack: true,
    };
    (link, a, b, record)
}

#[test]
fn what_cannot_be_is_refused_and_nothing_is_sent() {
    simulate(async {
        let (link, a, _b, good) = offered().await;
        let seen = proxy(&link, 0);
        assert_eq!(a.adopt(&good), Err(AdoptError::NotListening));
        let listener = TcpListener::bind_with(&a, 80, 1, TcpOptions::default()).await.unwrap();
        let elsewhere = "10.0.0.9:80".parse().unwrap();
        assert_eq!(a.adopt(&SynRecord { local: elsewhere, ..good }), Err(AdoptError::NotOurs));
        for remote in ["0.0.0.0:1", "255.255.255.255:1", "224.0.0.1:1", "127.0.0.1:1", "10.0.0.2:0"]
            .into_iter()
            .chain(["[fd00::2]:1"])
        {
            let record = SynRecord { remote: remote.parse().unwrap(), ..good };
            assert_eq!(a.adopt(&record), Err(AdoptError::Invalid), "{remote}");
        }
        sleep(Duration::from_secs(1)).await;
        assert_eq!(seen.borrow().len(), 0);
        a.adopt(&good).unwrap();
        assert_eq!(a.adopt(&good), Err(AdoptError::Known));
        let another = "10.0.0.7:1".parse().unwrap();
        assert_eq!(a.adopt(&SynRecord { remote: another, ..good }), Err(AdoptError::Full));
        drop(listener);
        assert_eq!(a.adopt(&good), Err(AdoptError::NotListening));
    });
}

#[test]
fn a_client_that_knows_of_nothing_ends_it() {
    simulate(async {
        let (_link, a, _b, good) = offered().await;
        let _listener = TcpListener::bind_with(&a, 80, 1, TcpOptions::default()).await.unwrap();
        for port in 50_000..50_100 {
            let remote = SocketAddr::new(good.remote.ip(), port);
            a.adopt(&SynRecord { remote, ..good }).unwrap();
            // The client has reset it, which makes room for the next one.
            sleep(Duration::from_millis(10)).await;
        }
        assert_eq!(a.stats().connections, 0);
    });
}

#[test]
fn a_client_that_has_sent_its_syn_again_meanwhile_is_served_once() {
    simulate(async {
        let (link, a, b) = pair(Faults::default(), 1);
        let seen = proxy(&link, 1);
        let mut listener = TcpListener::bind(&a, 80).await.unwrap();
        let remote = SocketAddr::new(CLIENT, 0);
        let client = spawn(async move { TcpStream::connect(&b, server(80)).await.unwrap() });
        sleep(Duration::from_millis(500)).await;
        let syn = record(&seen.borrow()[0].1, server(80), remote);
        // The second one gets through, and is answered with another number.
        let mut client = client.await.unwrap();
        assert_eq!(a.adopt(&syn), Err(AdoptError::Known));
        let (mut stream, _) = listener.accept().await.unwrap();
        client.write_all(b"once").await.unwrap();
        let mut got = [0; 4];
        stream.read_exact(&mut got).await.unwrap();
        assert_eq!(&got, b"once");
    });
}

/// A client whose window is never more than this, and the bytes that it gets.
const WINDOW: usize = 1000;
const LENGTH: usize = 20_000;

/// Serves a client whose SYN was recorded with these options, and who tells its window shifted by the
/// second one.
async fn keeps_to(max_segment_size: Option<u16>, window_scale: Option<u8>) {
    let (_link, a, b) = Link::new(Faults::default(), 1);
    let mut client = Sender::new(a, 5000, window_scale);
    let network = Network::start(b.boxed(), static_config(2));
    let mut listener = TcpListener::bind(&network, 80).await.unwrap();
    let field = (WINDOW >> window_scale.unwrap_or(0)) as u16;
    let record = SynRecord {
        local: SocketAddr::new(CLIENT, 80),
        remote: SocketAddr::new(SERVER, 40_000),
        sequence: 4999,
        own_sequence: OWN_SEQUENCE,
        window: WINDOW as u16,
        max_segment_size,
        window_scale,
        allows_sack: false,
    };
    network.adopt(&record).unwrap();
    let answer = client.be_answered(field).await;
    assert_eq!(answer.max_segment_size, Some(1460));
    // RFC 7323 section 2.2.
    assert_eq!(answer.window_scale.is_some(), window_scale.is_some());
    let writes = spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        stream.write_all(&[7; LENGTH]).await.unwrap();
        stream
    });
    let sent = client.read_in_turns(LENGTH, field).await;
    // What everybody takes who says nothing (RFC 9293 section 3.7.1).
    let segment = usize::from(max_segment_size.unwrap_or(536));
    assert_eq!(sent.longest, segment, "{record:?}");
    let reach = sent.most > WINDOW - segment && sent.most <= WINDOW;
    assert!(reach, "{} bytes are on their way: {record:?}", sent.most);
    drop(writes.await);
}

#[test]
fn what_a_client_has_said_of_itself_is_kept_to() {
    simulate(async {
        for window_scale in [None, Some(0), Some(3)] {
            for max_segment_size in [Some(536), Some(300), None] {
                keeps_to(max_segment_size, window_scale).await;
            }
        }
    });
}
