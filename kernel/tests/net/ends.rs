//! How connections end when the other side is in no hurry, or does not hear of it.

use std::{future::pending, time::Duration};

use mayfly::{
    net::{Error, Network, TcpListener, TcpOptions, TcpStream},
    spawn,
    time::{Instant, sleep, timeout},
};

use crate::{
    link::{Faults, Link},
    sender::Sender,
    support::{connected, connected_with, pair, pattern, server, simulate, static_config},
};

#[test]
fn a_reset_after_all_is_done_does_not_matter() {
    simulate(async {
        let (_nets, accepted, mut stream) = connected(Faults::default()).await;
        stream.write_all(b"all").await.unwrap();
        stream.shutdown_write();
        sleep(Duration::from_secs(1)).await;
        accepted.abort();
        sleep(Duration::from_secs(1)).await;
        assert_eq!(stream.flush().await, Ok(()));
    });
}

#[test]
fn who_is_not_read_any_more_comes_to_an_end() {
    simulate(async {
        let (_link, a, b) = pair(Faults::default(), 1);
        let mut listener = TcpListener::bind(&a, 80).await.unwrap();
        let mut stream = TcpStream::connect(&b, server(80)).await.unwrap();
        drop(listener.accept().await.unwrap());
        let start = Instant::now();
        // More than the window.
        stream.write_all(&vec![7; 1 << 20]).await.unwrap();
        assert_eq!(stream.close().await, Ok(()));
        assert!(start.elapsed() < Duration::from_secs(5), "it took {:?}", start.elapsed());
        sleep(Duration::from_secs(1)).await;
        assert_eq!((a.stats().connections, b.stats().connections), (0, 0));
    });
}

/// smoltcp 0.14 has no timer left then.
#[test]
fn an_end_that_is_lost_comes_again_though_all_data_was_acknowledged_again() {
    simulate(async {
        let (_link, a, b) = Link::new(Faults::default(), 1);
        let network = Network::start(b.boxed(), static_config(2));
        let mut listener = TcpListener::bind(&network, 80).await.unwrap();
        spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            stream.write_all(b"x").await.unwrap();
            stream.flush().await.unwrap();
            stream.shutdown_write();
            // It stays.
            pending::<()>().await;
        })
        .detach();
        let mut peer = Sender::new(a, 1000, None);
        peer.connect().await;
        peer.read_to_the_end().await;
        (0..4).for_each(|_| peer.acknowledge());
        let again = timeout(Duration::from_secs(30), peer.read_to_the_end()).await;
        assert!(again.is_ok(), "it does not come");
    });
}

/// Its window is closed most of the time, and what opens it acknowledges nothing new.
#[test]
fn a_slow_reader_that_has_ended_first_gets_the_rest_without_delay() {
    for is_dropped in [false, true] {
        simulate(async move {
            let options = TcpOptions { send_buffer: 60_000, ..TcpOptions::default() };
            let nets = connected_with(Faults::default(), options, TcpOptions::default()).await;
            let ((_link, a, b), mut accepted, mut stream) = nets;
            stream.shutdown_write();
            assert_eq!(accepted.read(&mut [0; 1]).await, Ok(0));
            let data = pattern(50_000, 1);
            accepted.write_all(&data).await.unwrap();
            let accepted = if is_dropped {
                drop(accepted);
                None
            } else {
                accepted.shutdown_write();
                assert_eq!(accepted.write(b"more").await, Err(Error::Closed));
                Some(accepted)
            };
            let (start, mut got, mut buffer) = (Instant::now(), Vec::new(), [0; 3000]);
            while let length @ 1.. = stream.read(&mut buffer).await.unwrap() {
                got.extend_from_slice(&buffer[..length]);
                sleep(Duration::from_millis(20)).await;
            }
            assert!(got == data);
            assert!(start.elapsed() < Duration::from_secs(1), "it took {:?}", start.elapsed());
            drop(accepted);
            drop(stream);
            sleep(Duration::from_secs(1)).await;
            assert_eq!((a.stats().connections, b.stats().connections), (0, 0));
        });
    }
}

/// Neither the end of TIME-WAIT, ten seconds in smoltcp, nor the one that late segments are answered
/// for takes away what has come.
#[test]
fn what_was_not_read_waits_for_its_reader() {
    simulate(async {
        let ((_link, a, b), mut accepted, mut stream) = connected(Faults::default()).await;
        stream.shutdown_write();
        assert_eq!(accepted.read(&mut [0; 1]).await, Ok(0));
        accepted.write_all(b"the rest").await.unwrap();
        accepted.close().await.unwrap();
        for seconds in [15, 300] {
            sleep(Duration::from_secs(seconds)).await;
            // smoltcp may be asked to look at it.
            stream.set_nodelay(true);
        }
        let mut rest = [0; 20];
        assert_eq!((stream.read(&mut rest).await, &rest[..8]), (Ok(8), &b"the rest"[..]));
        assert_eq!(stream.read(&mut rest).await, Ok(0));
        assert_eq!((stream.flush().await, stream.write(b"x").await), (Ok(()), Err(Error::Closed)));
        assert_eq!((a.stats().connections, b.stats().connections), (0, 1));
        drop(stream);
        assert_eq!(b.stats().connections, 0);
    });
}
