use mayfly::{
    net::{Error, TcpListener, TcpStream},
    spawn,
};

use crate::{
    link::Faults,
    support::{pair, pattern, server, simulate},
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

async fn transfer(faults: Faults, seed: u64, length: usize) {
    let (_link, a, b) = pair(faults, seed);
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
        stream.close().await.unwrap();
        received
    });
    let mut stream = TcpStream::connect(&b, server(80)).await.unwrap();
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
}

#[test]
fn bulk_over_a_clean_link() {
    simulate(transfer(Faults::default(), 7, 1_000_000));
}

#[test]
fn bulk_over_a_bad_link() {
    let faults = Faults { loss: 50, reorder: 100, duplicate: 20, corrupt: 10, ..Faults::default() };
    simulate(transfer(faults, 7, 300_000));
}

#[test]
#[ignore]
fn debug_loss() {
    use std::{cell::Cell, rc::Rc};
    mayfly_arch::simulation::start();
    mayfly::executor::run(async {
        let faults =
            Faults { loss: 50, reorder: 100, duplicate: 20, corrupt: 10, ..Faults::default() };
        let (link, a, b) = pair(faults, 7);
        let n = Rc::new(Cell::new(0));
        let start = mayfly::time::Instant::now();
        link.tap(move |end, frame| {
            n.set(n.get() + 1);
            if frame[12..14] == [8, 0] && frame[23] == 6 {
                let t = &frame[34..];
                let u = |i: usize| u32::from_be_bytes(t[i..i + 4].try_into().unwrap());
                println!(
                    "{:?} {end} seq {} ack {} len {} win {} flags {:x}",
                    start.elapsed(),
                    u(4),
                    u(8),
                    frame.len() - 34 - usize::from(t[12] >> 4) * 4,
                    u16::from_be_bytes([t[14], t[15]]),
                    t[13]
                );
            }
            true
        });
        let mut listener = TcpListener::bind(&a, 80).await.unwrap();
        let task = spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut buffer = [0; 3000];
            let mut n = 0;
            loop {
                match stream.read(&mut buffer).await.unwrap() {
                    0 => break,
                    length => n += length,
                }
            }
            println!("got {n}");
        });
        let mut stream = TcpStream::connect(&b, server(80)).await.unwrap();
        let r = mayfly::time::timeout(
            std::time::Duration::from_secs(600),
            stream.write_all(&pattern(300_000, 1)),
        )
        .await;
        println!("{r:?}");
        drop(task);
    });
}
