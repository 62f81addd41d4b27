use std::time::Duration;

use mayfly::{
    net::{Error, Network, TcpListener, TcpStream},
    spawn,
    time::{Instant, sleep, timeout},
};
use smoltcp::socket::tcp::{Socket, State};

use crate::{
    heap,
    link::{Dice, Faults, Link},
    plain::Plain,
    support::{pair, pair_v6, pattern, server, server_v6, simulate, static_config},
};

#[test]
fn a_request_and_its_answer() {
    simulate(async {
        let (_link, a, b) = pair(Faults::default(), 1);
        let mut listener = TcpListener::bind(&a, 80).await.unwrap();
        let task = spawn(async move {
            let (mut stream, peer) = listener.accept().await.unwrap();
            assert_eq!(stream.peer(), Some(peer));
            let mut buffer = [0; 100];
            let length = stream.read(&mut buffer).await.unwrap();
            assert_eq!(&buffer[..length], b"ping");
            stream.write_all(b"pong").await.unwrap();
            stream.close().await.unwrap();
        });
        let mut stream = TcpStream::connect(&b, server(80)).await.unwrap();
        stream.write_all(b"ping").await.unwrap();
        let mut buffer = [0; 100];
        assert_eq!(stream.read(&mut buffer).await, Ok(4));
        assert_eq!(&buffer[..4], b"pong");
        assert_eq!(stream.read(&mut buffer).await, Ok(0));
        task.await.unwrap();
    });
}

#[test]
fn nobody_listens() {
    simulate(async {
        let (_link, _a, b) = pair(Faults::default(), 1);
        assert_eq!(TcpStream::connect(&b, server(81)).await.unwrap_err(), Error::Refused);
    });
}

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
    for buffers in [0, 1, 8] {
        simulate(async move {
            let faults = Faults { offload: Some(buffers), ..Faults::default() };
            let (link, a, b) = pair(faults, 1);
            let mut listener = TcpListener::bind(&a, 80).await.unwrap();
            let mut stream = TcpStream::connect(&b, server(80)).await.unwrap();
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
            println!("{buffers}: {} cut, {:?}", link.cut_by(1), b.stats());
            assert_eq!(link.cut_by(1) > 10, buffers > 0);
            assert_eq!(b.stats().unsent_frames, 0);
        });
    }
}

#[test]
fn bulk_over_bad_links() {
    let seeds = std::env::var("MAYFLY_SEEDS").map_or(20, |seeds| seeds.parse().unwrap());
    let first = std::env::var("MAYFLY_SEED").map_or(0, |seed| seed.parse().unwrap());
    for seed in first..first + seeds {
        let mut dice = Dice(seed);
        let mut up_to = |max: u64| dice.below(max + 1) as u32;
        let faults = Faults {
            loss: up_to(50),
            reorder: up_to(200),
            duplicate: up_to(50),
            corrupt: up_to(20),
            delay: Duration::from_micros(up_to(20_000).into()),
            jitter: Duration::from_micros(up_to(50_000).into()),
            ring: 4 + up_to(250) as usize,
            offload: (up_to(1) == 1).then(|| up_to(3) as usize),
            ..Faults::default()
        };
        println!("seed {seed}: {faults:?}");
        simulate(transfer(faults, seed, 300_000));
    }
}

/// Accepts for ever and answers each line with itself, in tasks of their own.
fn serve_lines(mut listener: TcpListener) {
    spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            spawn(async move {
                let mut buffer = [0; 512];
                while let Ok(length @ 1..) = stream.read(&mut buffer).await {
                    if stream.write_all(&buffer[..length]).await.is_err() {
                        break;
                    }
                }
            })
            .detach();
        }
    })
    .detach();
}

async fn ask(stream: &mut TcpStream, line: &[u8]) {
    stream.write_all(line).await.unwrap();
    let mut buffer = vec![0; line.len()];
    let mut got = 0;
    while got < line.len() {
        let length = stream.read(&mut buffer[got..]).await.unwrap();
        assert_ne!(length, 0, "the answer is cut off");
        got += length;
    }
    assert_eq!(buffer, line);
}

#[test]
fn a_thousand_at_once() {
    simulate(async {
        let (_link, a, b) = pair(Faults { ring: 2048, ..Faults::default() }, 1);
        serve_lines(TcpListener::bind(&a, 80).await.unwrap());
        let start = Instant::now();
        let clients: Vec<_> = (0..1000)
            .map(|number: u32| {
                let network = b.clone();
                spawn(async move {
                    let mut stream = TcpStream::connect(&network, server(80)).await.unwrap();
                    ask(&mut stream, &number.to_be_bytes()).await;
                    // All of them stay open until the last one is served.
                    stream
                })
            })
            .collect();
        let mut streams = Vec::new();
        for client in clients {
            streams.push(client.await.unwrap());
        }
        println!("all served after {:?}, {:?}", start.elapsed(), a.stats());
        assert!(start.elapsed() < Duration::from_secs(1));
        assert_eq!(a.stats().connections, 1000);
    });
}

#[test]
fn ten_thousand_short_connections_leave_nothing() {
    simulate(async {
        let (_link, a, b) = pair(Faults::default(), 1);
        serve_lines(TcpListener::bind(&a, 80).await.unwrap());
        let mut before = 0;
        for round in 0..11u32 {
            for number in 0..1000u32 {
                let mut stream = TcpStream::connect(&b, server(80)).await.unwrap();
                ask(&mut stream, &(round * 1000 + number).to_be_bytes()).await;
                if number % 2 == 0 {
                    stream.close().await.unwrap();
                }
            }
            sleep(Duration::from_secs(120)).await;
            assert_eq!((a.stats().connections, b.stats().connections), (0, 0));
            match round {
                0 => before = heap::live(),
                _ => assert!(heap::live() <= before, "{} bytes stay", heap::live() - before),
            }
        }
    });
}

#[test]
fn those_that_give_up_before_accept_are_not_accepted() {
    simulate(async {
        let (_link, a, b) = pair(Faults::default(), 1);
        let mut listener = TcpListener::bind(&a, 80).await.unwrap();
        for _ in 0..10 {
            TcpStream::connect(&b, server(80)).await.unwrap().abort();
        }
        let mut stream = TcpStream::connect(&b, server(80)).await.unwrap();
        sleep(Duration::from_secs(1)).await;
        assert_eq!(a.stats().connections, 1);
        let (mut accepted, peer) = listener.accept().await.unwrap();
        assert_eq!(Some(peer), stream.local());
        stream.write_all(b"x").await.unwrap();
        assert_eq!(accepted.read(&mut [0; 9]).await, Ok(1));
        assert!(timeout(Duration::from_secs(9), listener.accept()).await.is_err());
    });
}

#[test]
fn a_reset_is_an_error_on_the_other_side() {
    simulate(async {
        let (_link, a, b) = pair(Faults::default(), 1);
        let mut listener = TcpListener::bind(&a, 80).await.unwrap();
        let mut stream = TcpStream::connect(&b, server(80)).await.unwrap();
        let (accepted, _) = listener.accept().await.unwrap();
        let read = spawn(async move {
            let result = stream.read(&mut [0; 9]).await;
            (result, stream.write(b"x").await, stream.flush().await)
        });
        accepted.abort();
        let reset = Error::Reset;
        assert_eq!(read.await.unwrap(), (Err(reset), Err(reset), Err(reset)));
        sleep(Duration::from_secs(1)).await;
        assert_eq!((a.stats().connections, b.stats().connections), (0, 0));
    });
}

#[test]
fn half_closed_connections_work_both_ways() {
    simulate(async {
        let (_link, a, b) = pair(Faults::default(), 1);
        let mut listener = TcpListener::bind(&a, 80).await.unwrap();
        let mut stream = TcpStream::connect(&b, server(80)).await.unwrap();
        let (mut accepted, _) = listener.accept().await.unwrap();
        stream.shutdown_write();
        assert_eq!(stream.write(b"x").await, Err(Error::Closed));
        assert_eq!(accepted.read(&mut [0; 9]).await, Ok(0));
        accepted.write_all(b"still here").await.unwrap();
        drop(accepted);
        let mut buffer = [0; 20];
        assert_eq!(stream.read(&mut buffer).await, Ok(10));
        sleep(Duration::from_secs(100)).await;
        assert_eq!(stream.read(&mut buffer).await, Ok(0));
        assert_eq!(stream.read(&mut buffer).await, Ok(0));
        drop(stream);
        sleep(Duration::from_secs(1)).await;
        assert_eq!((a.stats().connections, b.stats().connections), (0, 0));
    });
}

#[test]
fn what_was_written_arrives_after_the_drop() {
    simulate(async {
        let (_link, a, b) = pair(Faults { loss: 100, ..Faults::default() }, 4);
        let mut listener = TcpListener::bind(&a, 80).await.unwrap();
        let mut stream = TcpStream::connect(&b, server(80)).await.unwrap();
        stream.write_all(&[7; 4000]).await.unwrap();
        drop(stream);
        let (mut accepted, _) = listener.accept().await.unwrap();
        let mut total = 0;
        loop {
            match accepted.read(&mut [0; 999]).await.unwrap() {
                0 => break,
                length => total += length,
            }
        }
        assert_eq!(total, 4000);
    });
}

#[test]
fn a_peer_that_is_gone_is_noticed() {
    simulate(async {
        let (link, a, b) = pair(Faults::default(), 1);
        let mut listener = TcpListener::bind(&a, 80).await.unwrap();
        let mut stream = TcpStream::connect(&b, server(80)).await.unwrap();
        let (mut accepted, _) = listener.accept().await.unwrap();
        stream.set_keep_alive(Some(Duration::from_secs(10)));
        stream.set_timeout(Some(Duration::from_secs(35)));
        let read = timeout(Duration::from_secs(300), stream.read(&mut [0; 9])).await;
        assert!(read.is_err(), "a peer that answers was given up");
        link.set_faults(Faults { loss: 1000, ..Faults::default() });
        let start = Instant::now();
        assert_eq!(stream.read(&mut [0; 9]).await, Err(Error::TimedOut));
        assert!(start.elapsed() < Duration::from_secs(50));
        accepted.set_timeout(Some(Duration::from_secs(5)));
        assert_eq!(accepted.read(&mut [0; 9]).await, Err(Error::TimedOut));
        // Nobody answers a request for a connection either.
        let connect = TcpStream::connect(&b, server(80)).await;
        assert_eq!(connect.unwrap_err(), Error::TimedOut);
        drop((stream, accepted));
        sleep(Duration::from_secs(90)).await;
        assert_eq!((a.stats().connections, b.stats().connections), (0, 0));
    });
}

#[test]
fn halves_work_in_two_tasks() {
    simulate(async {
        let (_link, a, b) = pair(Faults::default(), 1);
        serve_lines(TcpListener::bind(&a, 80).await.unwrap());
        let stream = TcpStream::connect(&b, server(80)).await.unwrap();
        let (mut reader, mut writer) = stream.split();
        let data = pattern(100_000, 3);
        let sent = data.clone();
        let write = spawn(async move { writer.write_all(&sent).await });
        let mut got = Vec::new();
        let mut buffer = [0; 2000];
        loop {
            match reader.read(&mut buffer).await.unwrap() {
                0 => break,
                length => got.extend_from_slice(&buffer[..length]),
            }
        }
        assert_eq!(write.await.unwrap(), Ok(()));
        assert!(got == data);
    });
}

#[test]
fn closures_read_and_write_in_place() {
    simulate(async {
        let (_link, a, b) = pair(Faults::default(), 1);
        let mut listener = TcpListener::bind(&a, 80).await.unwrap();
        let mut stream = TcpStream::connect(&b, server(80)).await.unwrap();
        let (mut accepted, _) = listener.accept().await.unwrap();
        let fill = |buffer: &mut [u8]| {
            buffer[..5].copy_from_slice(b"hello");
            (5, 5)
        };
        assert_eq!(stream.write_with(fill).await, Ok(5));
        let look = |bytes: &[u8]| (2, bytes.to_vec());
        assert_eq!(accepted.read_with(look).await.unwrap(), b"hello");
        assert_eq!(accepted.read_with(look).await.unwrap(), b"llo");
        assert_eq!(accepted.read_with(|bytes| (bytes.len(), bytes.len())).await, Ok(1));
        drop(stream);
        assert_eq!(accepted.read_with(|bytes| (0, bytes.len())).await, Ok(0));
    });
}

#[test]
fn a_listener_that_goes_resets_what_it_has() {
    simulate(async {
        let (_link, a, b) = pair(Faults::default(), 1);
        let listener = TcpListener::bind(&a, 80).await.unwrap();
        assert_eq!(TcpListener::bind(&a, 80).await.unwrap_err(), Error::AddressInUse);
        let mut stream = TcpStream::connect(&b, server(80)).await.unwrap();
        drop(listener);
        assert_eq!(stream.read(&mut [0; 9]).await, Err(Error::Reset));
        assert_eq!(TcpStream::connect(&b, server(80)).await.unwrap_err(), Error::Refused);
        let _again = TcpListener::bind(&a, 80).await.unwrap();
        drop(stream);
        sleep(Duration::from_secs(1)).await;
        assert_eq!((a.stats().connections, b.stats().connections), (0, 0));
    });
}

#[test]
fn a_connection_that_is_not_wanted_any_more_is_cancelled() {
    simulate(async {
        let (link, a, b) = pair(Faults { loss: 1000, ..Faults::default() }, 1);
        let connect = TcpStream::connect(&b, server(80));
        assert!(timeout(Duration::from_secs(2), connect).await.is_err());
        link.set_faults(Faults::default());
        sleep(Duration::from_secs(40)).await;
        assert_eq!((a.stats().connections, b.stats().connections), (0, 0));
    });
}

#[test]
fn buffers_grow_with_demand_and_are_returned() {
    simulate(async {
        let (_link, a, b) = pair(Faults::default(), 1);
        let mut listener = TcpListener::bind(&a, 80).await.unwrap();
        let mut stream = TcpStream::connect(&b, server(80)).await.unwrap();
        let (mut accepted, _) = listener.accept().await.unwrap();
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
