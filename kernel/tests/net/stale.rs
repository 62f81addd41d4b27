//! Segments that come long after their time, or that the peer never sent.

use std::{cell::RefCell, rc::Rc, time::Duration};

use mayfly::{
    net::{TcpListener, TcpStream},
    spawn,
    time::{sleep, timeout},
};

use crate::{
    hostile::repair,
    link::{Faults, Link},
    support::{pair, server, simulate},
};

/// The control bits SYN and ACK, and where they are in a frame with IPv4.
const SYN: u8 = 0x02;
const ACK: u8 = 0x10;
const FLAGS: usize = 47;

/// The frames with TCP that the client sends, from now on.
fn record(link: &Link) -> Rc<RefCell<Vec<Vec<u8>>>> {
    let recorded = Rc::new(RefCell::new(Vec::<Vec<u8>>::new()));
    let record = Rc::clone(&recorded);
    link.tap(move |end, frame| {
        if end == 1 && frame.len() >= 54 && frame[12..14] == [8, 0] && frame[23] == 6 {
            record.borrow_mut().push(frame.to_vec());
        }
        true
    });
    recorded
}

/// Lets the client send 500 bytes, then the server hear what `late` makes of the SYN of the client,
/// and then send much. It has to get through.
fn after_a_late_segment(late: impl Fn(&mut Vec<u8>) + 'static) {
    simulate(async move {
        let (link, a, b) = pair(Faults::default(), 1);
        let recorded = record(&link);
        let mut listener = TcpListener::bind(&a, 80).await.unwrap();
        let mut stream = TcpStream::connect(&b, server(80)).await.unwrap();
        let (mut accepted, _) = listener.accept().await.unwrap();
        stream.write_all(&[1; 500]).await.unwrap();
        let mut got = 0;
        while got < 500 {
            got += accepted.read(&mut [0; 500]).await.unwrap();
        }
        let mut frame = recorded.borrow().first().unwrap().clone();
        assert_eq!(frame[FLAGS], SYN);
        late(&mut frame);
        repair(&mut frame);
        link.inject(0, &frame);
        sleep(Duration::from_millis(10)).await;
        let reader = spawn(async move {
            let (mut got, mut buffer) = (0, [0; 3000]);
            while got < 100_000 {
                got += stream.read(&mut buffer).await.unwrap();
            }
        });
        let all = [2; 100_000];
        timeout(Duration::from_secs(10), accepted.write_all(&all)).await.unwrap().unwrap();
        reader.await.unwrap();
    });
}

#[test]
fn a_syn_that_comes_twice_changes_nothing() {
    after_a_late_segment(|_| {});
}

#[test]
fn a_syn_from_elsewhere_changes_nothing() {
    after_a_late_segment(|frame| {
        let number = u32::from_be_bytes(frame[38..42].try_into().unwrap());
        frame[38..42].copy_from_slice(&number.wrapping_sub(10_000).to_be_bytes());
        frame[FLAGS] = SYN | ACK;
    });
}
