//! How much a peer may send: windows that are larger than 65,535 bytes, and closed ones.

use std::time::Duration;

use mayfly::{
    net::{Network, TcpListener, TcpOptions, TcpStream},
    spawn,
    time::{Instant, sleep, timeout},
};

use crate::{
    link::{Dice, Faults, Link},
    sender::Sender,
    support::{pair, pattern, server, simulate, static_config},
};

/// A ring in which everything finds room that a window allows.
const WIDE: Faults = Faults {
    loss: 0,
    duplicate: 0,
    corrupt: 0,
    reorder: 0,
    delay: Duration::from_micros(500),
    jitter: Duration::from_millis(2),
    ring: 100_000,
    offload: None,
    few_buffers: None,
};

#[derive(Clone, Copy)]
struct Case {
    faults: Faults,
    seed: u64,
    length: usize,
    /// The scale that the peer offers.
    offers: Option<u8>,
    /// Whether the guest connects, or is connected to.
    is_active: bool,
    /// Whether a forged answer comes before that of the peer.
    is_forged: bool,
    /// The longest pause that the reader makes, in microseconds, and the most that it reads.
    pause: u64,
    bite: usize,
    /// Time that it takes the peer to send a segment.
    pace: Duration,
    options: TcpOptions,
}

impl Default for Case {
    fn default() -> Self {
        Self {
            faults: WIDE,
            seed: 1,
            length: 3_000_000,
            offers: Some(7),
            is_active: false,
            is_forged: false,
            pause: 0,
            bite: 300_000,
            pace: Duration::ZERO,
            options: TcpOptions::default(),
        }
    }
}

async fn open(network: Network, case: Case) -> TcpStream {
    if case.is_active {
        return TcpStream::connect_with(&network, server(80), case.options).await.unwrap();
    }
    let mut listener = TcpListener::bind_with(&network, 80, 1, case.options).await.unwrap();
    listener.accept().await.unwrap().0
}

/// Lets the guest receive bytes whose numbers wrap in the middle. Returns the peer.
fn receive(case: Case) -> Sender {
    simulate(async move {
        let (_link, a, b) = Link::new(case.faults, case.seed);
        let network = Network::start(b.boxed(), static_config(2));
        let mut dice = Dice(case.seed);
        let start = (case.length as u32 / 2).wrapping_neg();
        let mut sender = Sender::new(a, start, case.offers);
        (sender.pace, sender.is_forged) = (case.pace, case.is_forged);
        let data: &'static [u8] = pattern(case.length, case.seed).leak();
        let reader = spawn(async move {
            let mut stream = open(network, case).await;
            let (mut got, mut buffer) = (0, vec![0; case.bite]);
            let mut dice = Dice(case.seed + 1);
            while got < data.len() {
                let bite = 1 + dice.below(case.bite as u64) as usize;
                let length = stream.read(&mut buffer[..bite]).await.unwrap();
                assert!(buffer[..length] == data[got..got + length], "other bytes at {got}");
                got += length;
                if case.pause > 0 {
                    sleep(Duration::from_micros(dice.below(case.pause))).await;
                }
            }
        });
        if case.is_active {
            sender.accept().await;
        } else {
            sender.connect().await;
        }
        sender.run(data, &mut dice).await;
        reader.await.unwrap();
        println!(
            "seed {}: window {}, {} repeats, {} times closed",
            case.seed, sender.largest, sender.repeats, sender.closed
        );
        sender
    })
}

#[test]
fn windows_grow_beyond_their_field() {
    for is_active in [false, true] {
        let sender = receive(Case { is_active, ..Case::default() });
        assert!(sender.largest > 200_000, "only {}", sender.largest);
        // Nothing that was promised is taken back.
        assert_eq!((sender.scale, sender.repeats), (Some(4), 0));
    }
}

#[test]
fn windows_grow_for_a_peer_that_is_far_away() {
    let faults = Faults { delay: Duration::from_millis(20), ..WIDE };
    let pace = Duration::from_micros(100);
    let sender = receive(Case { faults, pace, ..Case::default() });
    assert!(sender.largest > 200_000, "only {}", sender.largest);
    assert_eq!(sender.repeats, 0);
}

#[test]
fn windows_stay_small_for_small_requests() {
    simulate(async {
        let (_link, a, b) = pair(Faults::default(), 1);
        let mut listener = TcpListener::bind(&a, 80).await.unwrap();
        let mut stream = TcpStream::connect(&b, server(80)).await.unwrap();
        let (mut accepted, _) = listener.accept().await.unwrap();
        let mut buffer = [0; 3000];
        for _ in 0..10_000 {
            stream.write_all(&[7; 200]).await.unwrap();
            let mut left = 200;
            while left > 0 {
                left -= accepted.read(&mut buffer).await.unwrap();
            }
        }
        assert_eq!(a.stats().resized_buffers, 0);
    });
}

#[test]
fn windows_are_as_large_as_wanted() {
    let options = TcpOptions { max_receive_buffer: usize::MAX, ..TcpOptions::default() };
    let sender = receive(Case { length: 10_000_000, options, ..Case::default() });
    assert!(sender.largest > 700_000, "only {}", sender.largest);
    assert_eq!(sender.repeats, 0);
    let options = TcpOptions { max_receive_buffer: 20_000, ..TcpOptions::default() };
    let sender = receive(Case { options, ..Case::default() });
    assert!((17_520..=20_000).contains(&sender.largest), "{}", sender.largest);
}

#[test]
fn a_peer_that_does_not_scale_is_told_plain_windows() {
    for is_active in [false, true] {
        let sender = receive(Case { offers: None, is_active, ..Case::default() });
        assert!((60_000..=65_535).contains(&sender.largest), "{}", sender.largest);
        assert_eq!(sender.repeats, 0);
    }
}

#[test]
fn a_forged_answer_does_not_limit_the_window() {
    let sender = receive(Case { is_active: true, is_forged: true, ..Case::default() });
    assert!(sender.largest > 200_000, "only {}", sender.largest);
    assert_eq!(sender.repeats, 0);
}

#[test]
fn slow_readers_close_the_window_and_open_it_again() {
    for seed in 0..20 {
        let offers = (seed % 4 != 3).then_some(seed as u8 % 3 * 7);
        let sender = receive(Case {
            seed,
            offers,
            length: 400_000,
            pause: 3000,
            bite: 3000,
            is_active: seed % 2 == 0,
            ..Case::default()
        });
        assert!(sender.closed > 0);
        assert_eq!(sender.repeats, 0);
    }
}

#[test]
fn a_reader_of_single_bytes_gets_on() {
    for bite in [1, 15, 17, 40] {
        let options = TcpOptions { receive_buffer: 0, ..TcpOptions::default() };
        let case = Case { length: 20_000, pause: 50, bite, options, ..Case::default() };
        assert_eq!(receive(case).repeats, 0);
    }
}

#[test]
fn large_windows_on_bad_links() {
    for seed in 0..20 {
        let mut dice = Dice(seed);
        let mut up_to = |max: u64| dice.below(max + 1) as u32;
        let faults = Faults {
            loss: up_to(5),
            reorder: up_to(100),
            duplicate: up_to(50),
            corrupt: up_to(5),
            delay: Duration::from_micros(up_to(5000).into()),
            jitter: Duration::from_micros(up_to(3000).into()),
            ..WIDE
        };
        let pause = u64::from(up_to(1) * up_to(3000));
        receive(Case {
            faults,
            seed,
            pause,
            bite: 1 + up_to(100_000) as usize,
            length: 2_000_000,
            is_active: seed % 2 == 0,
            ..Case::default()
        });
    }
}

/// Linux's windows grow while data comes, gap or not.
#[test]
fn a_gap_is_closed_at_once_though_the_window_grows() {
    simulate(async {
        const LENGTH: usize = 300_000;
        let (_link, a, b) = Link::new(WIDE, 1);
        let network = Network::start(b.boxed(), static_config(2));
        let options = TcpOptions { send_buffer: LENGTH, ..TcpOptions::default() };
        let mut listener = TcpListener::bind_with(&network, 80, 1, options).await.unwrap();
        spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            stream.write_all(&pattern(LENGTH, 1)).await.unwrap();
            stream.flush().await.unwrap();
        })
        .detach();
        let mut peer = Sender::new(a, 1000, None);
        peer.connect().await;
        let start = Instant::now();
        peer.read_selecting(LENGTH, |count| count % 40 == 30).await;
        assert!(start.elapsed() < Duration::from_millis(500), "it took {:?}", start.elapsed());
    });
}

/// It looks like what keeps a connection alive.
#[test]
fn a_lost_zero_comes_again_though_there_is_room_for_one_byte() {
    for filler in [7_u8, 0] {
        simulate(async move {
            let (_link, a, b) = Link::new(Faults::default(), 1);
            let network = Network::start(b.boxed(), static_config(2));
            let mut listener = TcpListener::bind(&network, 80).await.unwrap();
            spawn(async move {
                let (stream, _) = listener.accept().await.unwrap();
                let (mut read, mut write) = stream.split();
                write.write_all(&vec![filler; 1460 + 100]).await.unwrap();
                while read.read(&mut [0; 100]).await.unwrap() > 0 {}
            })
            .detach();
            let mut peer = Sender::new(a, 1000, None);
            peer.connect().await;
            let came = timeout(Duration::from_secs(5), peer.lose_the_last_that_fits()).await;
            assert!(came.is_ok(), "{filler} does not come again");
        });
    }
}

/// smoltcp 0.14 has no timer left then to send again what was lost.
#[test]
fn a_window_that_closes_for_a_moment_stops_nobody() {
    for limit in [None, Some(Duration::from_secs(60))] {
        simulate(async move {
            let (_link, a, b) = Link::new(Faults::default(), 1);
            let network = Network::start(b.boxed(), static_config(2));
            let mut listener = TcpListener::bind(&network, 80).await.unwrap();
            spawn(async move {
                let (mut stream, _) = listener.accept().await.unwrap();
                stream.set_timeout(limit);
                stream.write_all(&[7; 1460]).await.unwrap();
                let _ = stream.flush().await;
            })
            .detach();
            let mut peer = Sender::new(a, 1000, None);
            peer.connect().await;
            let comes = timeout(Duration::from_secs(5), peer.close_and_open()).await;
            assert!(comes.is_ok(), "with a limit of {limit:?}, the rest does not come");
        });
    }
}
