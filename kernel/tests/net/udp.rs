use std::{net::SocketAddr, time::Duration};

use mayfly::{
    net::{Error, TcpListener, TcpStream, UdpSocket},
    spawn,
    time::{sleep, timeout},
};

use crate::{
    heap::live,
    link::Faults,
    support::{CLIENT, SERVER, pair, pair_v6, server, server_v6, simulate},
};

#[test]
fn echo() {
    simulate(async {
        let (_link, a, b) = pair(Faults::default(), 1);
        let echo = UdpSocket::bind(&a, 7).await.unwrap();
        spawn(async move {
            loop {
                let datagram = echo.recv().await.unwrap();
                assert_eq!(datagram.local(), SERVER);
                echo.reply(&datagram, datagram.payload()).await.unwrap();
            }
        })
        .detach();
        let socket = UdpSocket::bind(&b, 0).await.unwrap();
        let mut buffer = [0; 1500];
        for length in [0, 1, 17, 64, 512, 1472] {
            let data: Vec<u8> = (0..length).map(|i| i as u8).collect();
            socket.send_to(&data, server(7)).await.unwrap();
            let (got, from) = socket.recv_from(&mut buffer).await.unwrap();
            assert_eq!((got, from), (length, server(7)));
            assert_eq!(&buffer[..got], &data[..]);
        }
        let error = socket.send_to(&[0; 1473], server(7)).await;
        assert_eq!(error, Err(Error::MessageTooLong));
    });
}

#[test]
fn echo_over_ipv6() {
    simulate(async {
        let (_link, a, b) = pair_v6(Faults::default(), 1);
        let echo = UdpSocket::bind(&a, 7).await.unwrap();
        spawn(async move {
            loop {
                let datagram = echo.recv().await.unwrap();
                echo.reply(&datagram, datagram.payload()).await.unwrap();
            }
        })
        .detach();
        let socket = UdpSocket::bind(&b, 0).await.unwrap();
        let mut buffer = [0; 1500];
        // Its global address, and the one of the link.
        for address in [server_v6(7), "[fe80::ff:fe00:1]:7".parse().unwrap()] {
            for length in [1, 1452] {
                socket.send_to(&vec![9; length], address).await.unwrap();
                assert_eq!(socket.recv_from(&mut buffer).await, Ok((length, address)));
            }
        }
        let error = socket.send_to(&[0; 1453], server_v6(7)).await;
        assert_eq!(error, Err(Error::MessageTooLong));
    });
}

#[test]
fn bursts_never_stall() {
    for window in [16, 256] {
        simulate(async move {
            let (_link, a, b) = pair(Faults { ring: 512, ..Faults::default() }, 1);
            let echo = UdpSocket::bind_with(&a, 7, 512).await.unwrap();
            spawn(async move {
                loop {
                    let datagram = echo.recv().await.unwrap();
                    echo.reply(&datagram, datagram.payload()).await.unwrap();
                }
            })
            .detach();
            let socket = UdpSocket::bind_with(&b, 0, 512).await.unwrap();
            let mut buffer = [0; 64];
            // So that the first burst does not wait for ARP.
            socket.send_to(&[], server(7)).await.unwrap();
            socket.recv_from(&mut buffer).await.unwrap();
            for round in 0..200u32 {
                for number in 0..window {
                    let data = (round * window + number).to_be_bytes();
                    socket.send_to(&data, server(7)).await.unwrap();
                }
                for number in 0..window {
                    let (length, _) =
                        timeout(Duration::from_secs(5), socket.recv_from(&mut buffer))
                            .await
                            .expect("a burst stalled")
                            .unwrap();
                    let expected = (round * window + number).to_be_bytes();
                    assert_eq!(&buffer[..length], &expected);
                }
            }
        });
    }
}

#[test]
fn a_full_queue_drops_the_newest() {
    simulate(async {
        let (_link, a, b) = pair(Faults::default(), 1);
        let receiver = UdpSocket::bind_with(&a, 9, 4).await.unwrap();
        let sender = UdpSocket::bind(&b, 0).await.unwrap();
        for number in 0..10u8 {
            sender.send_to(&[number], server(9)).await.unwrap();
        }
        sleep(Duration::from_secs(1)).await;
        let mut buffer = [0; 8];
        for number in 0..4u8 {
            assert_eq!(receiver.recv_from(&mut buffer).await.unwrap().0, 1);
            assert_eq!(buffer[0], number);
        }
        assert!(timeout(Duration::from_secs(1), receiver.recv()).await.is_err());
        assert_eq!(a.stats().dropped_datagrams, 6);
    });
}

/// Sends so many datagrams of 1,000 bytes to each port of the first network, all of them different.
async fn fill(sender: &UdpSocket, ports: std::ops::Range<u16>, count: u8) {
    // So that the others need not wait for ARP, for which there is less room.
    sender.send_to(&[], server(1)).await.unwrap();
    sleep(Duration::from_secs(1)).await;
    for port in ports {
        for number in 0..=count - 1 {
            sender.send_to(&[number; 1000], server(port)).await.unwrap();
        }
    }
    sleep(Duration::from_secs(1)).await;
}

#[test]
fn sockets_that_nobody_reads_leave_the_network_to_others() {
    for (sockets, queue) in [(4, 64), (1, 255)] {
        simulate(async move {
            let faults = Faults { few_buffers: Some(256), ..Faults::default() };
            let (_link, a, b) = pair(faults, 1);
            let sender = UdpSocket::bind(&b, 0).await.unwrap();
            let mut unread = Vec::new();
            for port in 9..9 + sockets {
                unread.push(UdpSocket::bind_with(&a, port, queue).await.unwrap());
            }
            fill(&sender, 9..9 + sockets, queue as u8).await;
            // One more to each finds its queue full.
            for port in 9..9 + sockets {
                sender.send_to(&[], server(port)).await.unwrap();
            }
            // Another socket, and TCP.
            let heard = UdpSocket::bind(&a, 20).await.unwrap();
            sender.send_to(b"hello", server(20)).await.unwrap();
            let hello = timeout(Duration::from_secs(1), heard.recv()).await.unwrap().unwrap();
            assert_eq!(hello.payload(), b"hello");
            let mut listener = TcpListener::bind(&a, 80).await.unwrap();
            let connecting = TcpStream::connect(&b, server(80));
            timeout(Duration::from_secs(1), connecting).await.unwrap().unwrap();
            listener.accept().await.unwrap();
            // What waits is complete, wherever it was put.
            for socket in &unread {
                for number in 0..queue {
                    assert_eq!(socket.recv().await.unwrap().payload(), [number as u8; 1000]);
                }
            }
            assert_eq!(a.stats().dropped_datagrams, sockets.into());
        });
    }
}

#[test]
fn what_was_read_or_forgotten_makes_room_for_what_is_not_copied() {
    simulate(async {
        // Of these, 64 are for datagrams that wait.
        let (_link, a, b) = pair(Faults { few_buffers: Some(256), ..Faults::default() }, 1);
        let sender = UdpSocket::bind(&b, 0).await.unwrap();
        for round in 0..12 {
            let socket = UdpSocket::bind(&a, 9).await.unwrap();
            let before = live();
            fill(&sender, 9..10, 64).await;
            // Buffers are taken from the heap when they are first used, those of the sender until all
            // of them were.
            assert!(round < 6 || live() - before < 16_000, "{} bytes", live() - before);
            for _ in 0..if round % 2 == 0 { 64 } else { 10 } {
                socket.recv().await.unwrap();
            }
            drop(socket);
        }
    });
}

#[test]
fn ports_are_taken_and_freed() {
    simulate(async {
        let (_link, a, b) = pair(Faults::default(), 1);
        let first = UdpSocket::bind(&a, 53).await.unwrap();
        assert_eq!(UdpSocket::bind(&a, 53).await.unwrap_err(), Error::AddressInUse);
        drop(first);
        let again = UdpSocket::bind(&a, 53).await.unwrap();
        let (one, two) =
            (UdpSocket::bind(&b, 0).await.unwrap(), UdpSocket::bind(&b, 0).await.unwrap());
        assert_ne!(one.port(), two.port());
        again.connect(SocketAddr::new(CLIENT, one.port()));
        two.send_to(b"not from the peer", server(53)).await.unwrap();
        one.send_to(b"hello", server(53)).await.unwrap();
        assert_eq!(again.recv().await.unwrap().payload(), b"hello");
        again.send(b"hi").await.unwrap();
        assert_eq!(one.recv().await.unwrap().payload(), b"hi");
    });
}

#[test]
fn what_cannot_be_reached_is_an_error() {
    simulate(async {
        let (_link, _a, b) = pair(Faults::default(), 1);
        let socket = UdpSocket::bind(&b, 0).await.unwrap();
        let send = async |to: &str| socket.send_to(b"x", to.parse().unwrap()).await;
        assert_eq!(send("192.168.7.7:1").await, Err(Error::Unreachable));
        assert_eq!(send("[2001:db8::1]:1").await, Err(Error::Unreachable));
        assert_eq!(send("0.0.0.0:1").await, Err(Error::InvalidAddress));
        assert_eq!(send("10.0.0.1:0").await, Err(Error::InvalidAddress));
        // Nobody has this address: the datagram waits for an answer and is dropped.
        assert_eq!(send("10.0.0.77:1").await, Ok(()));
        sleep(Duration::from_secs(10)).await;
        assert_eq!(b.stats().unsent_frames, 1);
    });
}
