//! Much data, on good and bad links.

use std::time::Duration;

use mayfly::{
    net::{Network, TcpListener, TcpStream},
    spawn,
    time::{Instant, sleep},
};
use smoltcp::socket::tcp::{Socket, State};

use crate::{
    heap,
    link::{Dice, Faults, Link},
    plain::Plain,
    support::{
        connected, pair, pair_v6, pattern, seeds, serve_lines, server, server_v6, simulate,
        static_config,
    },
};

/// Sends `length` bytes there and back, over IPv4, or with an odd seed over IPv6.
async fn transfer(faults: Faults, seed: u64, length: usize) {
    let start = Instant::now();
    let is_v6 = seed % 2 == 1;
    let (_link, a, b) = if is_v6 { pair_v6(faults, seed) } else { pair(faults, seed) };
    let data = pattern(length, seed);
    let expected = data.clone();
    let mut listener = TcpListener::bind(&a, 80).await.unwrap();
    let task = spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut received = Vec::new();
        let mut buffer = [0; 3000];
        loop {
            match stream.read(&mut buffer).await.unwrap() {
                0 => break,
                length => received.extend_from_slice(&buffer[..length]),
            }
        }
        // The other half is still open.
        stream.write_all(&received).await.unwrap();
        // On a bad link, the last acknowledgement may be lost until the peer has forgotten us.
        let _ = stream.close().await;
        received
    });
    let target = if is_v6 { server_v6(80) } else { server(80) };
    let mut stream = TcpStream::connect(&b, target).await.unwrap();
    stream.write_all(&data).await.unwrap();
    stream.shutdown_write();
    let mut echoed = Vec::new();
    let mut buffer = [0; 1000];
    loop {
        match stream.read(&mut buffer).await.unwrap() {
            0 => break,
            length => echoed.extend_from_slice(&buffer[..length]),
        }
    }
    assert!(task.await.unwrap() == expected, "damaged on the way there");
    assert!(echoed == expected, "damaged on the way back");
    println!("transfer took {:?}", start.elapsed());
}

#[test]
fn bulk_over_a_clean_link() {
    simulate(transfer(Faults::default(), 6, 1_000_000));
    simulate(transfer(Faults::default(), 7, 1_000_000));
}

#[test]
fn a_transfer_with_few_buffers() {
    for offload in [None, Some(1)] {
        let faults = Faults { few_buffers: Some(8), offload, ..Faults::default() };
        simulate(transfer(faults, 6, 1_000_000));
    }
}

#[test]
fn the_device_cuts_long_packets() {
    for (buffers, is_v6) in [0, 1, 8].map(|buffers| [(buffers, false), (buffers, true)]).concat() {
        simulate(async move {
            let faults = Faults { offload: Some(buffers), ..Faults::default() };
            let (link, a, b) = if is_v6 { pair_v6(faults, 1) } else { pair(faults, 1) };
            let target = if is_v6 { server_v6(80) } else { server(80) };
            let mut listener = TcpListener::bind(&a, 80).await.unwrap();
            let mut stream = TcpStream::connect(&b, target).await.unwrap();
            let (mut accepted, _) = listener.accept().await.unwrap();
            let data = pattern(500_000, 2);
            let sent = data.clone();
            let write = spawn(async move { stream.write_all(&sent).await });
            let mut got = Vec::new();
            let mut buffer = [0; 30_000];
            while got.len() < data.len() {
                let length = accepted.read(&mut buffer).await.unwrap();
                got.extend_from_slice(&buffer[..length]);
            }
            write.await.unwrap().unwrap();
            assert!(got == data);
            println!("{buffers} {is_v6}: {} cut, {:?}", link.cut_by(1), b.stats());
            assert_eq!(link.cut_by(1) > 10, buffers > 0);
            assert_eq!(b.stats().unsent_frames, 0);
        });
    }
}

#[test]
fn what_is_cut_here_waits_for_room() {
    // Long packets without a buffer for one, and room for a part of one. The link delays what it is
    // given, so that there is mostly less room than that.
    for ring in [1, 2, 3, 7] {
        let delay = Duration::from_millis(5);
        let faults = Faults { offload: Some(0), ring, delay, ..Faults::default() };
        simulate(async move {
            let (_link, a, b) = pair(faults, 6);
            let mut listener = TcpListener::bind(&a, 80).await.unwrap();
            let task = spawn(async move {
                let (mut stream, _) = listener.accept().await.unwrap();
                stream.write_all(&pattern(100_000, 6)).await.unwrap();
                stream.close().await.unwrap();
            });
            let mut stream = TcpStream::connect(&b, server(80)).await.unwrap();
            let unsent = a.stats().unsent_frames;
            let (start, mut received, mut buffer) = (Instant::now(), Vec::new(), [0; 3000]);
            while let count @ 1.. = stream.read(&mut buffer).await.unwrap() {
                received.extend_from_slice(&buffer[..count]);
            }
            assert!(received == pattern(100_000, 6), "damaged");
            task.await.unwrap();
            assert_eq!(a.stats().unsent_frames, unsent, "with room for {ring}");
            // Some hundred times the delay; each of some seventy timers would take 40 times the delay.
            assert!(start.elapsed() < Duration::from_secs(1), "{:?}", start.elapsed());
        });
    }
}

#[test]
fn bulk_over_bad_links() {
    for seed in seeds() {
        let faults = Faults::random(&mut Dice(seed), 50);
        println!("seed {seed}: {faults:?}");
        simulate(transfer(faults, seed, 300_000));
    }
}

#[test]
fn buffers_grow_with_demand_and_are_returned() {
    simulate(async {
        let ((_link, a, b), mut accepted, mut stream) = connected(Faults::default()).await;
        sleep(Duration::from_secs(1)).await;
        let small = heap::live();
        let data = pattern(1_000_000, 5);
        let expected = data.clone();
        let read = spawn(async move {
            let mut got = Vec::new();
            let mut buffer = [0; 5000];
            while got.len() < expected.len() {
                let length = accepted.read(&mut buffer).await.unwrap();
                assert_ne!(length, 0);
                got.extend_from_slice(&buffer[..length]);
            }
            assert!(got == expected);
            accepted
        });
        let start = Instant::now();
        stream.write_all(&data).await.unwrap();
        let mut accepted = read.await.unwrap();
        println!("1 MB in {:?}", start.elapsed());
        drop(data);
        assert_eq!((a.stats().resized_buffers, b.stats().resized_buffers), (2, 1));
        assert!(heap::live() > small + 500_000, "the buffers have not grown");
        sleep(Duration::from_secs(30)).await;
        println!("{:?} {:?}", a.stats(), b.stats());
        assert_eq!((a.stats().resized_buffers, b.stats().resized_buffers), (3, 2));
        assert!(heap::live() < small + 10_000, "{} bytes stay", heap::live() - small);
        // The connection still works, both ways.
        for _ in 0..3 {
            stream.write_all(b"ping").await.unwrap();
            assert_eq!(accepted.read(&mut [0; 9]).await, Ok(4));
            accepted.write_all(b"pong!").await.unwrap();
            assert_eq!(stream.read(&mut [0; 9]).await, Ok(5));
            sleep(Duration::from_secs(30)).await;
        }
    });
}

#[test]
fn a_plain_smoltcp_gets_everything_back() {
    for (seed, buffer) in [(1, 1000), (2, 8000), (3, 60_000)] {
        simulate(async move {
            let faults = Faults { loss: 20, reorder: 50, duplicate: 10, ..Faults::default() };
            let (_link, a, b) = Link::new(faults, seed);
            let network = Network::start(b.boxed(), static_config(2));
            serve_lines(TcpListener::bind(&network, 80).await.unwrap());
            let mut plain = Plain::new(a, buffer);
            plain.connect(80);
            let data = pattern(200_000, seed);
            let (mut sent, mut got) = (0, Vec::new());
            let step = |socket: &mut Socket<'static>| {
                if socket.may_send() && sent < data.len() {
                    sent += socket.send_slice(&data[sent..]).unwrap();
                    if sent == data.len() {
                        socket.close();
                    }
                }
                while socket.can_recv() {
                    socket.recv(|bytes| (bytes.len(), got.extend_from_slice(bytes))).unwrap();
                }
                sent == data.len() && !socket.is_active()
            };
            plain.run(step).await;
            assert!(got == data, "{} of {} bytes came back", got.len(), data.len());
            assert!(matches!(plain.socket().state(), State::TimeWait | State::Closed));
        });
    }
}
