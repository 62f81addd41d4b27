//! Nobody sends as everybody: what says so is not answered, for the answer would go to all.

use std::{cell::RefCell, rc::Rc, time::Duration};

use mayfly::{
    net::{TcpListener, TcpStream, UdpSocket},
    spawn,
    time::sleep,
};

use crate::{
    hostile::repair,
    link::{Faults, Link},
    support::{pair, server, simulate},
};

type Frames = Rc<RefCell<Vec<Vec<u8>>>>;

/// The frames with IPv4 or ARP that one end sends, from now on.
fn record(link: &Link, end: usize) -> Frames {
    let frames = Frames::default();
    let record = Rc::clone(&frames);
    link.tap(move |from, frame| {
        if from == end && frame[12] == 8 {
            record.borrow_mut().push(frame.to_vec());
        }
        true
    });
    frames
}

/// Has the server, which echoes datagrams and listens, hear what a client has sent, from `source`.
/// Returns how many frames it has sent then, questions for the address included.
async fn answers(source: [u8; 4]) -> usize {
    let (link, a, b) = pair(Faults::default(), 1);
    let asked = record(&link, 1);
    let echo = UdpSocket::bind(&a, 7).await.unwrap();
    let _listener = TcpListener::bind(&a, 80).await.unwrap();
    spawn(async move {
        while let Ok(datagram) = echo.recv().await {
            let _ = echo.reply(&datagram, datagram.payload()).await;
        }
    })
    .detach();
    let client = UdpSocket::bind(&b, 0).await.unwrap();
    client.send_to(b"who is there?", server(7)).await.unwrap();
    assert_eq!(client.recv_from(&mut [0; 20]).await.unwrap().0, 13);
    let _stream = TcpStream::connect(&b, server(80)).await.unwrap();
    sleep(Duration::from_millis(50)).await;

    let mut frames = asked.borrow().clone();
    // A datagram, and a request for a connection.
    frames.retain(|frame| frame[13] == 0 && (frame[23] == 17 || frame[23] == 6 && frame[47] == 2));
    let answered = record(&link, 0);
    assert!([6, 17].iter().all(|protocol| frames.iter().any(|frame| frame[23] == *protocol)));
    for frame in &mut frames {
        frame[26..30].copy_from_slice(&source);
        repair(frame);
        link.inject(0, frame);
    }
    sleep(Duration::from_secs(5)).await;
    answered.borrow().len()
}

#[test]
fn who_says_to_be_everybody_is_not_answered() {
    simulate(async {
        for source in [[10, 0, 0, 255], [255; 4], [224, 0, 0, 1], [127, 0, 0, 1]] {
            assert_eq!(answers(source).await, 0, "{source:?}");
        }
        // The client itself is.
        assert!(answers([10, 0, 0, 2]).await > 0);
    });
}
