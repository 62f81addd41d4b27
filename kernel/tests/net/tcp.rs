//! How connections begin and end, and what an app can do with them.

use std::time::Duration;

use mayfly::{
    net::{Error, TcpListener, TcpStream},
    spawn,
    time::{Instant, sleep, timeout},
};

use crate::{
    heap,
    link::Faults,
    support::{connected, pair, pattern, serve_lines, server, simulate},
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
fn a_host_is_connected_by_what_it_is_called() {
    simulate(async {
        let (_link, a, b) = pair(Faults::default(), 1);
        let mut listener = TcpListener::bind(&a, 80).await.unwrap();
        let task = spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut buffer = [0; 100];
            let length = stream.read(&mut buffer).await.unwrap();
            stream.write_all(&buffer[..length]).await.unwrap();
            assert_eq!(stream.read(&mut buffer).await, Ok(0));
        });
        let host = server(80).ip().to_string();
        let mut stream = b.connect(&host, 80).await.unwrap();
        assert_eq!(stream.tcp().unwrap().peer(), Some(server(80)));
        stream.write_all(b"ping").await.unwrap();
        stream.shutdown_write();
        let (mut reader, _writer) = stream.split();
        let mut buffer = [0; 100];
        assert_eq!(reader.read(&mut buffer).await, Ok(4));
        task.await.unwrap();
        for (host, port, error) in
            [(&*host, 81, Error::Refused), ("host.example", 80, Error::NoNameServer)]
        {
            let result = b.connect(host, port).await;
            assert!(
                matches!(result, Err(mayfly::Error::Net(found)) if found == error),
                "{result:?}"
            );
        }
        let result = b.connect("host.xen", 80).await;
        assert!(matches!(result, Err(mayfly::Error::Missing(_))), "{result:?}");
    });
}

#[test]
fn nobody_listens() {
    simulate(async {
        let (_link, _a, b) = pair(Faults::default(), 1);
        assert_eq!(TcpStream::connect(&b, server(81)).await.unwrap_err(), Error::Refused);
    });
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
        let ((_link, a, b), accepted, mut stream) = connected(Faults::default()).await;
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
        let ((_link, a, b), mut accepted, mut stream) = connected(Faults::default()).await;
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
        let ((link, a, b), mut accepted, mut stream) = connected(Faults::default()).await;
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
        let (_nets, mut accepted, mut stream) = connected(Faults::default()).await;
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
