//! How connections end when the other side is in no hurry, or does not hear of it.

use std::{future::pending, time::Duration};

use mayfly::{
    net::{Network, TcpListener, TcpStream},
    spawn,
    time::{Instant, sleep, timeout},
};

use crate::{
    link::{Faults, Link},
    sender::Sender,
    support::{pair, server, simulate, static_config},
};

#[test]
fn a_reset_after_all_is_done_does_not_matter() {
    simulate(async {
        let (_link, a, b) = pair(Faults::default(), 1);
        let mut listener = TcpListener::bind(&a, 80).await.unwrap();
        let mut stream = TcpStream::connect(&b, server(80)).await.unwrap();
        let (accepted, _) = listener.accept().await.unwrap();
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
