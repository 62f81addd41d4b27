//! Requests for connections, more than a listener takes.

use std::{future::Future, time::Duration};

use mayfly::{
    executor::yield_now,
    net::{Network, TcpListener, TcpOptions, TcpStream},
    time::{sleep, timeout},
};
use mayfly_arch::simulation;

use crate::{
    addresses::arp_answer,
    flood::{RST, SYN, segment},
    hostile::repair,
    link::{Faults, Link},
    peer::Raw,
    support::{pair, server, simulate, static_config},
};

/// Connections that the listener takes, and requests that wait beside them.
const BACKLOG: u16 = 4;
const WAITING: u16 = 8 * BACKLOG;
const OPTION: [u8; 4] = [2, 4, 5, 180];
const PSH: u8 = 0x08;
const ACK: u8 = 0x10;
/// The first port of the peer.
const FIRST: u16 = 1000;

/// Somebody who asks for connections at a listener's port, and never completes a handshake.
struct Asking {
    network: Network,
    peer: Raw,
    next: u16,
}

impl Asking {
    /// Asks for so many more.
    async fn ask(&mut self, count: u16) {
        for _ in 0..count {
            self.peer.send(&segment(self.next, SYN, OPTION));
            self.next += 1;
        }
        sleep(Duration::from_millis(10)).await;
    }

    /// Takes the first one back.
    async fn take_back(&mut self) {
        self.peer.send(&segment(FIRST, RST, OPTION));
        sleep(Duration::from_millis(10)).await;
    }

    fn connections(&self) -> u32 {
        self.network.stats().connections
    }
}

fn asking<F: Future<Output = ()>>(test: impl FnOnce(Asking) -> F) {
    simulate(async {
        let (_link, a, b) = Link::new(Faults::default(), 1);
        let network = Network::start(a.boxed(), static_config(1));
        let options = TcpOptions::default();
        let _listener =
            TcpListener::bind_with(&network, 80, BACKLOG.into(), options).await.unwrap();
        test(Asking { network, peer: Raw(b), next: FIRST }).await;
    });
}

#[test]
fn a_listener_takes_no_more_than_its_backlog() {
    asking(async |mut asking| {
        asking.ask(BACKLOG + WAITING + 3).await;
        assert_eq!(asking.connections(), BACKLOG.into());
        assert_eq!(asking.network.stats().dropped_requests, 3);
        // One that waits has the place.
        asking.take_back().await;
        assert_eq!(asking.connections(), BACKLOG.into());
        asking.ask(1).await;
        assert_eq!(asking.network.stats().dropped_requests, 3);
    });
}

#[test]
fn a_request_that_has_waited_long_is_not_answered() {
    for (wait, connections) in [(900, BACKLOG), (1100, BACKLOG - 1)] {
        asking(async |mut asking| {
            asking.ask(BACKLOG + 1).await;
            sleep(Duration::from_millis(wait)).await;
            asking.take_back().await;
            assert_eq!(asking.connections(), connections.into());
        });
    }
}

/// The number that the connection of the first port begins with.
async fn own_number(asking: &mut Asking) -> u32 {
    loop {
        let frame = timeout(Duration::from_secs(1), asking.peer.receive()).await.unwrap();
        if frame[12..14] == [8, 6] {
            asking.peer.send(&arp_answer(&frame, 2));
        } else if frame[12..14] == [8, 0] && frame[36..38] == FIRST.to_be_bytes() {
            return u32::from_be_bytes(frame[38..42].try_into().unwrap());
        }
    }
}

/// The last segment of the first handshake, in which the guest begins with `number`.
fn last_of(number: u32) -> Vec<u8> {
    let mut last = segment(FIRST, ACK, OPTION);
    last[42..46].copy_from_slice(&(number + 1).to_be_bytes());
    repair(&mut last);
    last
}

/// Sends something on the first connection, which must not be reset for that.
async fn goes_on(asking: &mut Asking, mut last: Vec<u8>) {
    last[47] = ACK | PSH;
    repair(&mut last);
    asking.peer.send(&last);
    let is_reset = async {
        loop {
            let frame = asking.peer.receive().await;
            if frame[12..14] == [8, 0] && frame[36..38] == FIRST.to_be_bytes() {
                assert_eq!(frame[47] & RST, 0, "it is reset");
            }
        }
    };
    assert!(timeout(Duration::from_secs(1), is_reset).await.is_err());
}

#[test]
fn who_has_answered_while_the_guest_stood_still_is_not_given_up() {
    asking(async |mut asking| {
        asking.ask(BACKLOG).await;
        let last = last_of(own_number(&mut asking).await);
        // As when the host gives its processor to others. Another request is read first.
        simulation::advance(4_000_000_000);
        asking.peer.send(&segment(FIRST + 100, SYN, OPTION));
        asking.peer.send(&last);
        sleep(Duration::from_secs(1)).await;
        goes_on(&mut asking, last).await;
    });
}

#[test]
fn who_has_to_answer_again_after_a_standstill_has_time_for_that() {
    asking(async |mut asking| {
        asking.ask(BACKLOG).await;
        let last = last_of(own_number(&mut asking).await);
        // The answer is lost: more has come than the host keeps for the guest.
        simulation::advance(4_000_000_000);
        asking.ask(1).await;
        sleep(Duration::from_millis(2500)).await;
        assert_eq!(asking.connections(), BACKLOG.into());
        asking.peer.send(&last);
        sleep(Duration::from_millis(10)).await;
        goes_on(&mut asking, last).await;
    });
}

#[test]
fn a_standstill_counts_also_after_one_in_which_all_that_was_late_has_ended() {
    asking(async |mut asking| {
        asking.ask(1).await;
        // The only one that is late is taken back meanwhile.
        asking.peer.send(&segment(FIRST, RST, OPTION));
        simulation::advance(4_000_000_000);
        sleep(Duration::from_millis(10)).await;
        assert_eq!(asking.connections(), 0);
        asking.ask(BACKLOG).await;
        simulation::advance(4_000_000_000);
        asking.ask(1).await;
        sleep(Duration::from_millis(2500)).await;
        assert_eq!(asking.connections(), BACKLOG.into());
    });
}

#[test]
fn what_came_in_a_standstill_counts_before_what_was_due_in_it() {
    simulate(async {
        let (link, a, b) = Link::new(Faults::default(), 1);
        let network = Network::start(a.boxed(), static_config(1));
        let mut listener = TcpListener::bind(&network, 80).await.unwrap();
        let mut asking = Asking { network, peer: Raw(b), next: FIRST };
        asking.ask(1).await;
        let number = own_number(&mut asking).await;
        asking.peer.send(&last_of(number));
        let (mut stream, _) = listener.accept().await.unwrap();
        stream.set_timeout(Some(Duration::from_secs(3)));
        stream.write_all(b"x").await.unwrap();
        sleep(Duration::from_millis(10)).await;
        // The peer has answered early, and the guest hears it late.
        simulation::advance(10_000_000_000);
        let acknowledgement = last_of(number + 1);
        link.inject(0, &acknowledgement);
        goes_on(&mut asking, acknowledgement).await;
        stream.write_all(b"y").await.unwrap();
    });
}

#[test]
fn handshakes_that_take_long_make_room() {
    for (wait, connections) in [(2700, BACKLOG), (3100, 1)] {
        asking(async |mut asking| {
            asking.ask(BACKLOG).await;
            sleep(Duration::from_millis(wait)).await;
            asking.ask(1).await;
            assert_eq!(asking.connections(), BACKLOG.into());
            sleep(Duration::from_millis(200)).await;
            assert_eq!(asking.connections(), connections.into());
        });
    }
}

#[test]
fn a_guest_that_is_always_late_makes_room_in_the_end() {
    asking(async |mut asking| {
        asking.ask(BACKLOG).await;
        sleep(Duration::from_millis(3100)).await;
        asking.ask(1).await;
        // Nor is there anything of the one that has waited, by then.
        for connections in [BACKLOG, BACKLOG, 0] {
            // An app that computes, say.
            simulation::advance(700_000_000);
            sleep(Duration::from_millis(1)).await;
            assert_eq!(asking.connections(), connections.into());
        }
    });
}

#[test]
fn a_flood_of_other_frames_does_not_keep_handshakes() {
    asking(async |mut asking| {
        asking.ask(BACKLOG).await;
        sleep(Duration::from_millis(3100)).await;
        asking.ask(1).await;
        for round in 0..30 {
            // More than the stack takes in before others have their turn.
            for _ in 0..66 {
                asking.peer.send(&[0; 60]);
            }
            simulation::advance(50_000_000);
            yield_now().await;
            let is_over = asking.connections() < BACKLOG.into();
            assert!(round > 2 || !is_over, "given up with more to be taken in");
        }
        assert!(asking.connections() < BACKLOG.into(), "kept by the flood");
    });
}

#[test]
fn a_listener_with_room_gives_nobody_up_for_another() {
    asking(async |mut asking| {
        let _other = TcpListener::bind(&asking.network, 81).await.unwrap();
        let mut request = segment(FIRST, SYN, OPTION);
        request[36..38].copy_from_slice(&81_u16.to_be_bytes());
        repair(&mut request);
        asking.peer.send(&request);
        asking.ask(BACKLOG).await;
        assert_eq!(asking.connections(), u32::from(BACKLOG) + 1);
        sleep(Duration::from_millis(3100)).await;
        asking.ask(1).await;
        sleep(Duration::from_millis(200)).await;
        assert_eq!(asking.connections(), 2, "of both listeners one");
    });
}

/// Drops so many connections whose peer says nothing any more, and one three seconds later. Returns how
/// many there are a moment after that.
async fn left_of(orphans: usize) -> u32 {
    let (link, a, b) = pair(Faults::default(), 1);
    let mut listener = TcpListener::bind(&a, 80).await.unwrap();
    let (mut here, mut there) = (Vec::new(), Vec::new());
    for _ in 0..=orphans {
        there.push(TcpStream::connect(&b, server(80)).await.unwrap());
        here.push(listener.accept().await.unwrap().0);
    }
    let last = here.pop();
    link.tap(|_, _| false);
    drop(here);
    sleep(Duration::from_secs(3)).await;
    drop(last);
    sleep(Duration::from_millis(200)).await;
    a.stats().connections
}

#[test]
fn slow_ends_are_forgotten_when_there_are_many() {
    simulate(async {
        assert_eq!(left_of(200).await, 201);
        assert_eq!(left_of(300).await, 1);
    });
}
