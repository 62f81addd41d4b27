//! What losses cost, and what is taken for one.

use std::{cell::Cell, future::pending, rc::Rc, time::Duration};

use embedded_io_async::Read as _;
use mayfly::{
    net::{Error, Network, TcpListener, TcpStream},
    spawn,
    time::{Instant, sleep},
};

use crate::{
    link::{Faults, Link},
    sender::Sender,
    support::{connected, pair, pattern, seeds, serve_lines, server, simulate, static_config},
};

/// Of a thousand.
const MANY: Faults = Faults { loss: 67, ..QUIET };
const QUIET: Faults = Faults {
    loss: 0,
    duplicate: 0,
    corrupt: 0,
    reorder: 0,
    delay: Duration::from_micros(50),
    jitter: Duration::ZERO,
    ring: 256,
    offload: None,
    few_buffers: None,
};

/// Sends so many bytes to an echo, and reads what comes back. Returns how long that took.
async fn round_trip(faults: Faults, seed: u64, length: usize) -> Duration {
    let (_link, a, b) = pair(faults, seed);
    serve_lines(TcpListener::bind(&a, 7).await.unwrap());
    let stream = TcpStream::connect(&b, server(7)).await.unwrap();
    let (mut read, mut write) = stream.split();
    let (start, data) = (Instant::now(), pattern(length, seed));
    let sent = data.clone();
    spawn(async move { write.write_all(&sent).await.unwrap() }).detach();
    let (mut got, mut buffer) = (Vec::new(), vec![0; 4096]);
    while got.len() < length {
        let length = read.read(&mut buffer).await.unwrap();
        assert!(length > 0, "it ended after {}", got.len());
        got.extend_from_slice(&buffer[..length]);
    }
    assert!(got == data, "damaged");
    start.elapsed()
}

/// One frame of fifteen is lost, in both directions: what is sent again, too, and the next one. With
/// a timer that doubles each time and never recovers, one in a hundred of these takes minutes.
#[test]
fn losses_cost_little_time() {
    let mut times: Vec<Duration> =
        seeds().map(|seed| simulate(round_trip(MANY, seed, 200_000))).collect();
    times.sort_unstable();
    println!("{times:.1?}");
    assert!(times[times.len() / 2] < Duration::from_secs(6), "{times:?}");
    assert!(times[times.len() - 1] < Duration::from_secs(30), "{times:?}");
}

/// Loses the frames with data that this end sends and `loses` says, by how many there were before
/// and how many of those that were sent again.
fn lose(link: &Link, end: usize, loses: impl Fn(usize, usize) -> bool + 'static) {
    let (mut new, mut again, mut newest) = (0, 0, None::<i32>);
    link.tap(move |from, frame| {
        let has_data = frame[12..14] == [8, 0] && frame.len() > 34 + 20 + 20;
        if from != end || !has_data {
            return true;
        }
        let number = i32::from_be_bytes([frame[38], frame[39], frame[40], frame[41]]);
        if newest.is_none_or(|newest| number.wrapping_sub(newest) > 0) {
            (new, newest) = (new + 1, Some(number));
            !loses(new - 1, 0)
        } else {
            again += 1;
            !loses(new - 1, again)
        }
    });
}

/// The first segment that a side ever sends, too, whoever has connected.
#[test]
fn a_loss_is_noticed_after_a_round_trip_and_a_little() {
    for from in 0..2 {
        simulate(async move {
            let ((link, a, b), accepted, stream) = connected(QUIET).await;
            let _nets = (a, b);
            let (mut sender, mut receiver) =
                if from == 0 { (accepted, stream) } else { (stream, accepted) };
            // The first two times.
            lose(&link, from, |_, again| again < 2);
            let start = Instant::now();
            sender.write_all(&[7; 100]).await.unwrap();
            let mut buffer = [0; 100];
            receiver.read_exact(&mut buffer).await.unwrap();
            let time = start.elapsed();
            // 200 ms, and twice that.
            let expected = Duration::from_millis(600)..Duration::from_millis(610);
            assert!(expected.contains(&time), "{from}: {time:?}");
        });
    }
}

/// Every second of many segments in a row is lost: each gap costs a round trip, and not a timer.
#[test]
fn many_gaps_at_once_are_closed_one_after_the_other() {
    simulate(async {
        let faults = Faults { delay: Duration::from_millis(5), ..QUIET };
        let ((link, _a, _b), mut accepted, mut stream) = connected(faults).await;
        // The windows are large by then.
        lose(&link, 1, |new, again| again == 0 && (200..208).contains(&new) && new % 2 == 0);
        let data = pattern(500_000, 1);
        let sent = data.clone();
        let writer = spawn(async move { stream.write_all(&sent).await.map(|()| stream) });
        let (start, mut buffer) = (Instant::now(), vec![0; data.len()]);
        accepted.read_exact(&mut buffer).await.unwrap();
        let time = start.elapsed();
        assert!(buffer == data, "damaged");
        let _stream = writer.await.unwrap().unwrap();
        println!("{time:?}");
        assert!(time < Duration::from_millis(900), "{time:?}");
    });
}

/// Sends and receives a hundred bytes so often, so that the round trip is known.
async fn speak(sender: &mut TcpStream, receiver: &mut TcpStream, times: usize) {
    let mut buffer = [0; 100];
    for _ in 0..times {
        sender.write_all(&buffer).await.unwrap();
        receiver.read_exact(&mut buffer).await.unwrap();
        sleep(Duration::from_millis(50)).await;
    }
}

/// A path that becomes slow looks like a loss at first, and then no more.
#[test]
fn slow_acknowledgements_are_not_taken_for_losses_for_long() {
    simulate(async {
        let ((link, _a, _b), mut accepted, mut stream) = connected(QUIET).await;
        let mut buffer = [0; 100];
        speak(&mut stream, &mut accepted, 100).await;
        link.set_faults(Faults { delay: Duration::from_millis(400), ..QUIET });
        let mut frames = Vec::new();
        for _ in 0..10 {
            let before = link.sent_by(1);
            stream.write_all(&buffer).await.unwrap();
            accepted.read_exact(&mut buffer).await.unwrap();
            sleep(Duration::from_secs(2)).await;
            frames.push(link.sent_by(1) - before);
        }
        assert!(frames[0] > 1 && frames[3..].iter().all(|count| *count == 1), "{frames:?}");
    });
}

/// A peer that is silent is given up in the time that was set, however often it was sent to.
#[test]
fn patience_does_not_grow_with_tries() {
    for seconds in [1, 10, 90] {
        simulate(async move {
            let ((link, _a, _b), _accepted, mut stream) = connected(QUIET).await;
            let limit = Duration::from_secs(seconds);
            stream.set_timeout(Some(limit));
            // It speaks, and rests for a while.
            stream.write_all(&[7; 100]).await.unwrap();
            sleep(Duration::from_millis(500)).await;
            link.tap(|_, frame| frame[12..14] == [8, 6]);
            let start = Instant::now();
            stream.write_all(&[7; 100]).await.unwrap();
            assert_eq!(stream.read(&mut [0; 9]).await, Err(Error::TimedOut));
            let time = start.elapsed();
            assert!((limit..limit + Duration::from_millis(20)).contains(&time), "{time:?}");
        });
    }
}

/// Who never answers is sent to ever more rarely, also when its Ethernet address has to be asked for
/// anew; when it is back, it is noticed.
#[test]
fn a_silent_peer_is_not_flooded() {
    for seconds in [5, 100, 500] {
        simulate(async move {
            let ((link, a, b), mut accepted, mut stream) = connected(QUIET).await;
            let _nets = (a, b);
            let is_away = Rc::new(Cell::new(true));
            let away = Rc::clone(&is_away);
            link.tap(move |_, frame| !away.get() || frame[12..14] == [8, 6]);
            let before = link.sent_by(1);
            stream.write_all(&[7; 100]).await.unwrap();
            sleep(Duration::from_secs(seconds)).await;
            // Data, questions for the address, and what keeps the one or other timer alive.
            let frames = link.sent_by(1) - before;
            assert!((3..12 + seconds / 20).contains(&frames), "{frames} in {seconds} s");
            is_away.set(false);
            let start = Instant::now();
            accepted.read_exact(&mut [0; 100]).await.unwrap();
            let time = start.elapsed();
            assert!(time < Duration::from_secs(62.min(2 * seconds)), "{time:?} after {seconds} s");
        });
    }
}

/// After a loss, a peer may acknowledge byte by byte; it gets nothing again for each of them.
#[test]
fn small_acknowledgements_draw_nothing() {
    simulate(async {
        let (_link, a, b) = Link::new(QUIET, 1);
        let network = Network::start(b.boxed(), static_config(2));
        let mut listener = TcpListener::bind(&network, 80).await.unwrap();
        spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let _ = stream.write_all(&[7; 100_000]).await;
            pending::<()>().await;
        })
        .detach();
        let mut peer = Sender::new(a, 1000, None);
        peer.connect().await;
        let frames = peer.nibble(1000).await;
        assert!(frames < 10, "{frames} frames for 1000 acknowledgements");
    });
}

/// What is received takes one turn of the stack for a segment, its acknowledgement one, and the
/// timers none.
#[test]
fn acknowledgements_need_no_second_look() {
    const COUNT: u64 = 200;
    simulate(async {
        let ((_link, a, _b), mut accepted, mut stream) = connected(QUIET).await;
        sleep(Duration::from_secs(5)).await;
        let before = a.stats().runs;
        for _ in 0..COUNT {
            stream.write_all(&[7; 1000]).await.unwrap();
            accepted.read_exact(&mut [0; 1000]).await.unwrap();
            sleep(Duration::from_millis(20)).await;
        }
        let runs = a.stats().runs - before;
        println!("{runs} turns");
        assert!(runs <= 5 * COUNT + 20, "{runs} turns for {COUNT} segments");
    });
}

/// What is due is not forgotten when the Ethernet address of the peer has to be asked for first.
#[test]
fn a_new_address_is_waited_for() {
    simulate(async {
        let ((link, _a, _b), mut accepted, mut stream) = connected(QUIET).await;
        let mut buffer = [7; 100];
        speak(&mut stream, &mut accepted, 10).await;
        let is_away = Rc::new(Cell::new(true));
        let away = Rc::clone(&is_away);
        link.tap(move |_, _| !away.get());
        let start = Instant::now();
        stream.write_all(&buffer).await.unwrap();
        sleep(Duration::from_millis(100)).await;
        // All addresses are forgotten, and the first question for this one is lost.
        link.move_end(1);
        sleep(Duration::from_millis(500)).await;
        is_away.set(false);
        accepted.read_exact(&mut buffer).await.unwrap();
        // The next question comes a second after the first.
        let time = start.elapsed();
        assert!(time < Duration::from_millis(1250), "{time:?}");
    });
}
