//! Data that goes in both directions at the same time.

use std::time::Duration;

use mayfly::{
    net::{Stats, TcpListener, TcpOptions, TcpStream},
    spawn,
    time::{Instant, sleep, timeout},
};

use crate::{
    link::{Dice, Faults},
    support::{connected, pair, pair_v6, pattern, seeds, server, server_v6, simulate},
};

/// Room for a peer that is no bottleneck.
const LARGE: usize = 1 << 18;

/// Answers every byte with itself, `bite` bytes at a time, until nothing more comes.
async fn echo(mut listener: TcpListener, bite: usize) {
    let (mut stream, _) = listener.accept().await.unwrap();
    let mut buffer = vec![0; bite];
    while let length @ 1.. = stream.read(&mut buffer).await.unwrap() {
        stream.write_all(&buffer[..length]).await.unwrap();
    }
    // On a bad link, the last acknowledgement may be lost until the peer has forgotten us.
    let _ = stream.close().await;
}

/// Sends `length` bytes to an echo, pausing for up to so many microseconds between reads, and checks
/// what comes back. Returns how long it took, and what the network of the echo says.
async fn round_trip(
    faults: Faults,
    seed: u64,
    bite: usize,
    length: usize,
    pause: u64,
) -> (Duration, Stats) {
    let (_link, a, b) = pair(faults, seed);
    spawn(echo(TcpListener::bind(&a, 7).await.unwrap(), bite)).detach();
    let options =
        TcpOptions { send_buffer: LARGE, max_send_buffer: LARGE, ..TcpOptions::default() };
    let stream = TcpStream::connect_with(&b, server(7), options).await.unwrap();
    let (mut read, mut write) = stream.split();
    let data = pattern(length, seed);
    let sent = data.clone();
    let start = Instant::now();
    // Dropping the half ends what is sent.
    spawn(async move { write.write_all(&sent).await.unwrap() }).detach();
    let (mut dice, mut buffer, mut got) = (Dice(seed), vec![0; LARGE], 0);
    loop {
        let length = read.read(&mut buffer).await.unwrap();
        if length == 0 {
            break;
        }
        assert!(data[got..].starts_with(&buffer[..length]), "damaged after {got}");
        got += length;
        if pause > 0 {
            sleep(Duration::from_micros(dice.below(pause))).await;
        }
    }
    assert_eq!(got, length);
    (start.elapsed(), a.stats())
}

/// An echo that is far away uses the whole path, and not two segments of each round trip.
#[test]
fn the_buffers_of_an_echo_grow() {
    let faults = Faults { delay: Duration::from_millis(10), ..Faults::default() };
    for bite in [1000, 4096, 20_000] {
        let (time, stats) = simulate(round_trip(faults, 1, bite, 3_000_000, 0));
        assert!(time < Duration::from_secs(3), "{bite}: {time:?}, {stats:?}");
        assert!((1..5).contains(&stats.resized_buffers), "{bite}: {stats:?}");
    }
}

/// The peer may wait for what is to be written before it reads, so that nothing is acknowledged.
#[test]
fn a_closed_window_holds_no_writer_off_before_its_buffer_is_full() {
    simulate(async {
        let (_nets, mut stream, mut peer) = connected(Faults::default()).await;
        // What the window of the peer takes, and a little more.
        stream.write_all(&pattern(2928, 1)).await.unwrap();
        sleep(Duration::from_secs(1)).await;
        stream.write_all(b"more").await.unwrap();
        // The receive buffer is too small.
        let much = spawn(async move {
            peer.write_all(&pattern(30_000, 2)).await.unwrap();
            peer
        });
        let (mut buffer, mut got) = ([0; 4096], 0);
        while got < 30_000 {
            got += stream.read(&mut buffer).await.unwrap();
        }
        let _peer = much.await.unwrap();
        let written = timeout(Duration::from_millis(1), stream.write(b"even more")).await;
        assert_eq!(written, Ok(Ok(9)));
    });
}

#[test]
fn an_echo_on_bad_links() {
    for seed in seeds() {
        let mut dice = Dice(seed);
        let faults = Faults::random(&mut dice, 30);
        let (bite, pause) = (1 + dice.below(10_000) as usize, dice.below(2) * dice.below(30_000));
        println!("seed {seed}: {bite} bytes at a time, pauses of {pause}, {faults:?}");
        let (time, stats) = simulate(round_trip(faults, seed, bite, 200_000, pause));
        println!("{time:?}, {stats:?}");
    }
}

/// One side of a connection on which each says what it likes: what it writes and reads at a time, and
/// how long it pauses between.
#[derive(Debug)]
struct Side {
    length: usize,
    bites: (usize, usize),
    pauses: (u64, u64),
    options: TcpOptions,
}

impl Side {
    fn random(dice: &mut Dice) -> Self {
        let mut up_to = |max: u64| dice.below(max + 1);
        let mut pause = || up_to(1) * up_to(30_000);
        let pauses = (pause(), pause());
        let options = TcpOptions {
            receive_buffer: up_to(10_000) as usize,
            send_buffer: up_to(10_000) as usize,
            max_receive_buffer: 1 << up_to(18),
            max_send_buffer: 1 << up_to(18),
        };
        let bites = (100 + up_to(20_000) as usize, 100 + up_to(20_000) as usize);
        Self { length: up_to(150_000) as usize, bites, pauses, options }
    }

    /// Writes all of `own`, and reads until nothing more comes.
    async fn talk(self, stream: TcpStream, own: Vec<u8>) -> Vec<u8> {
        let (mut read, mut write) = stream.split();
        let writer = spawn(async move {
            for piece in own.chunks(self.bites.0) {
                write.write_all(piece).await.unwrap();
                sleep(Duration::from_micros(self.pauses.0)).await;
            }
            // A stream that is dropped is given a minute. As above.
            let _ = write.flush().await;
        });
        let (mut got, mut buffer) = (Vec::new(), vec![0; self.bites.1]);
        while let length @ 1.. = read.read(&mut buffer).await.unwrap() {
            got.extend_from_slice(&buffer[..length]);
            sleep(Duration::from_micros(self.pauses.1)).await;
        }
        writer.await.unwrap();
        got
    }
}

#[test]
fn both_sides_speak_on_bad_links() {
    for seed in seeds() {
        let mut dice = Dice(seed ^ 0xb07b);
        let (faults, is_v6) = (Faults::random(&mut dice, 30), dice.below(2) == 1);
        let sides = (Side::random(&mut dice), Side::random(&mut dice));
        println!("seed {seed}: {sides:?}, {faults:?}");
        simulate(async move {
            let (_link, a, b) = if is_v6 { pair_v6(faults, seed) } else { pair(faults, seed) };
            let target = if is_v6 { server_v6(80) } else { server(80) };
            let mut listener = TcpListener::bind_with(&a, 80, 1, sides.0.options).await.unwrap();
            let data = (pattern(sides.0.length, seed), pattern(sides.1.length, seed + 1));
            let answer = data.0.clone();
            let other = spawn(async move {
                let (stream, _) = listener.accept().await.unwrap();
                sides.0.talk(stream, answer).await
            });
            let stream = TcpStream::connect_with(&b, target, sides.1.options).await.unwrap();
            let came = sides.1.talk(stream, data.1.clone()).await;
            assert!(came == data.0, "damaged on the way back");
            assert!(other.await.unwrap() == data.1, "damaged on the way there");
            // Both have said goodbye, or given up.
            sleep(Duration::from_secs(150)).await;
            assert_eq!((a.stats().connections, b.stats().connections), (0, 0));
        });
    }
}
