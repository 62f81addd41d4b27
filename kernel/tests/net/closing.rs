//! What the other side hears of the end.

use std::{cell::Cell, rc::Rc, time::Duration};

use mayfly::{
    net::{Error, Network, TcpListener, TcpOptions, TcpStream},
    spawn,
    time::{Instant, sleep, timeout},
};

use crate::{
    link::{Faults, Link},
    sender::Sender,
    support::{connected, connected_with, simulate, static_config},
};

/// Ends what `stream` sends, and perhaps all of it. Returns what is left of it.
async fn end(mut stream: TcpStream, drops: bool, peer: &mut TcpStream) -> Option<TcpStream> {
    stream.shutdown_write();
    assert_eq!(peer.read(&mut [0; 1]).await, Ok(0));
    (!drops).then_some(stream)
}

/// The last data of the peer comes with its end, and is acknowledged with it.
#[test]
fn the_end_is_acknowledged_at_once() {
    for drops in [false, true] {
        simulate(async move {
            let (_nets, mut accepted, stream) = connected(Faults::default()).await;
            let _kept = end(stream, drops, &mut accepted).await;
            sleep(Duration::from_millis(100)).await;
            accepted.write_all(b"the rest").await.unwrap();
            let start = Instant::now();
            accepted.close().await.unwrap();
            let took = start.elapsed();
            assert!(took < Duration::from_millis(100), "dropped {drops}: it took {took:?}");
        });
    }
}

/// The last acknowledgement is lost, and what the peer sends again does not begin with its end.
#[test]
fn who_repeats_more_than_its_end_is_answered() {
    for drops in [false, true] {
        simulate(async move {
            let options =
                TcpOptions { receive_buffer: 60_000, send_buffer: 60_000, ..TcpOptions::default() };
            let nets = connected_with(Faults::default(), options, options).await;
            let ((link, ..), mut accepted, stream) = nets;
            let _kept = end(stream, drops, &mut accepted).await;
            // So that several segments may be on their way at once.
            accepted.write_all(&[7; 20_000]).await.unwrap();
            accepted.flush().await.unwrap();
            let start = Instant::now();
            link.tap(move |end, _| end == 0 || start.elapsed() > Duration::from_millis(500));
            accepted.write_all(&[8; 2500]).await.unwrap();
            assert_eq!(accepted.close().await, Ok(()), "dropped {drops}");
            let took = start.elapsed();
            assert!(took < Duration::from_secs(5), "dropped {drops}: it took {took:?}");
        });
    }
}

/// Even if the address of the peer is to be asked for first.
#[test]
fn the_reset_of_a_timeout_is_sent() {
    for moves in [false, true] {
        simulate(async move {
            let ((link, ..), mut accepted, mut stream) = connected(Faults::default()).await;
            stream.set_timeout(Some(Duration::from_secs(10)));
            sleep(Duration::from_secs(5)).await;
            if moves {
                link.move_end(1);
            }
            assert_eq!(stream.read(&mut [0; 1]).await, Err(Error::TimedOut));
            drop(stream);
            let read = timeout(Duration::from_secs(1), accepted.read(&mut [0; 1])).await;
            assert_eq!(read, Ok(Err(Error::Reset)), "moved {moves}");
        });
    }
}

/// It is numbered after all that was sent, although some of that was about to be sent again.
#[test]
fn a_reset_is_heard_though_acknowledgements_are_lost() {
    simulate(async {
        let accepts = TcpOptions { receive_buffer: 60_000, ..TcpOptions::default() };
        let connects =
            TcpOptions { send_buffer: 20_000, max_send_buffer: 20_000, ..TcpOptions::default() };
        let nets = connected_with(Faults::default(), accepts, connects).await;
        let ((link, ..), mut accepted, mut stream) = nets;
        // So that several segments may be on their way at once.
        stream.write_all(&[1; 14_600]).await.unwrap();
        stream.flush().await.unwrap();
        stream.write_all(&[1; 14_600]).await.unwrap();
        let is_deaf = Rc::new(Cell::new(true));
        let deaf = Rc::clone(&is_deaf);
        link.tap(move |end, _| end == 1 || !deaf.get());
        sleep(Duration::from_secs(5)).await;
        stream.abort();
        sleep(Duration::from_millis(10)).await;
        is_deaf.set(false);
        let mut buffer = [0; 5000];
        let end = timeout(Duration::from_secs(1), async {
            loop {
                match accepted.read(&mut buffer).await {
                    Ok(1..) => {}
                    end => return end,
                }
            }
        });
        assert_eq!(end.await, Ok(Err(Error::Reset)));
    });
}

/// smoltcp 0.14 does not look at what a segment says that repeats only what has come.
#[test]
fn a_sign_of_life_opens_no_window() {
    simulate(async {
        let (_link, a, b) = Link::new(Faults::default(), 1);
        let network = Network::start(b.boxed(), static_config(2));
        let mut listener = TcpListener::bind(&network, 80).await.unwrap();
        spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            assert_eq!(stream.read(&mut [0; 1]).await, Ok(0));
            stream.write_all(&[7; 1460]).await.unwrap();
            sleep(Duration::from_millis(100)).await;
        })
        .detach();
        let mut peer = Sender::new(a, 1000, None);
        peer.connect().await;
        let rest = peer.end_and_close(Duration::from_millis(200));
        let comes = timeout(Duration::from_secs(5), rest).await;
        assert!(comes.is_ok(), "the rest does not come");
    });
}
