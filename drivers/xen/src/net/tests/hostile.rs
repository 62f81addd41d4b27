//! A netback that means harm.

use core::{num::NonZeroU16, task::Poll};

use proptest::prelude::*;

use super::*;

/// What it does.
#[derive(Clone, Debug)]
enum Step {
    /// The guest sends so many frames.
    Send(usize),
    /// The guest sends a long packet.
    SendLong(usize),
    /// The guest takes what there is.
    Receive,
    /// It writes a word of a ring's page.
    Scribble { is_receive: bool, offset: usize, value: u32 },
    /// It answers in the transmit ring.
    AnswerTransmit { id: u16, status: i16 },
    /// It answers in the receive ring.
    AnswerReceive { id: u16, offset: u16, flags: u16, status: i16 },
    /// It answers the next request there, perhaps with a part of a frame.
    Part { offset: u16, flags: u16, status: i16 },
    /// It answers a frame, as netback does.
    Answer { status: i16 },
    /// It delivers a frame, and keeps its page.
    Keep,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let id = || prop_oneof![4 => 0..20u16, 1 => any::<u16>()];
    // Indices are at the start.
    let offset = prop_oneof![
        (0..4usize).prop_map(|word| 4 * word),
        (0..1024usize).prop_map(|word| 4 * word)
    ];
    let value = prop_oneof![0..100u32, any::<u32>()];
    let step = prop_oneof![
        (0..40usize).prop_map(Step::Send),
        Just(Step::Receive),
        (any::<bool>(), offset, value).prop_map(|(is_receive, offset, value)| Step::Scribble {
            is_receive,
            offset,
            value
        }),
        (id(), any::<i16>()).prop_map(|(id, status)| Step::AnswerTransmit { id, status }),
        (id(), any::<u16>(), 0..16u16, any::<i16>()).prop_map(|(id, offset, flags, status)| {
            Step::AnswerReceive { id, offset: offset % 5000, flags, status }
        }),
        (
            prop_oneof![3 => Just(0), 1 => 0..5000u16],
            0..16u16,
            prop_oneof![1..5000i16, any::<i16>()]
        )
            .prop_map(|(offset, flags, status)| Step::Part { offset, flags, status }),
        (0..65_481usize).prop_map(Step::SendLong),
        (-3..3i16).prop_map(|status| Step::Answer { status }),
        Just(Step::Keep),
    ];
    prop::collection::vec(step, 1..60)
}

fn send(card: &mut Card<'_>, count: usize) {
    for round in 0..count.min(card.device.transmit_room()) {
        if let Some(mut sent) = FrameBuf::allocate(&card.device.pool(), 0)
            && sent.set_range(0, 60 + round)
        {
            let _ = card.device.transmit(sent);
        }
    }
    card.device.flush();
}

fn send_long(card: &mut Card<'_>, payload: usize) {
    let pool = card.device.large_pool().unwrap();
    if card.device.transmit_room() > 0
        && let Some(mut sent) = FrameBuf::allocate(&pool, 0)
        && sent.set_range(0, 54 + payload)
    {
        sent.bytes_mut().copy_from_slice(&tcp(payload));
        let _ = card.device.transmit_segmented(sent, NonZeroU16::new(1448).unwrap());
    }
    card.device.flush();
}

/// Takes what there is, which has an end.
fn receive(card: &mut Card<'_>) {
    for _ in 0..1000 {
        if let Some(received) = card.device.receive() {
            assert!((14..=65_536).contains(&received.frame.bytes().len()));
        } else if card.waiter.poll(|cx| card.device.poll_ready(cx)) != Poll::Ready(Ok(())) {
            return;
        }
    }
    panic!("it never comes to an end");
}

proptest! {
    #[test]
    fn nothing_that_netback_writes_does_harm(steps in steps()) {
        let guest = Guest::new();
        drop(guest.sharing.grants.reserve(1).unwrap());
        let before = guest.resources();
        let mut card = connect_with(&guest, &[], long::FEATURES);
        let mut kept = Vec::new();
        for step in steps {
            match step {
                Step::Send(count) => send(&mut card, count),
                Step::SendLong(payload) => send_long(&mut card, payload),
                Step::Receive => receive(&mut card),
                Step::Scribble { is_receive, offset, value } => {
                    let (transmit, receive) = (&card.netback.transmit, &card.netback.receive);
                    let page = if is_receive { &receive.page } else { &transmit.page };
                    page.write(offset, &value.to_le_bytes());
                }
                Step::AnswerTransmit { id, status } => {
                    let word = u32::from(id) | u32::from(status as u16) << 16;
                    card.netback.transmit.answer(&[word]);
                }
                Step::AnswerReceive { id, offset, flags, status } => {
                    card.netback.respond(id.into(), offset, flags.into(), status as u16);
                }
                Step::Part { offset, flags, status } => {
                    card.netback.respond_next(offset, flags.into(), status as u16);
                }
                Step::Answer { status } => {
                    if let Some([_, _, third]) = card.netback.transmit.take_if_sane() {
                        let word = third & 0xffff | u32::from(status as u16) << 16;
                        card.netback.transmit.answer(&[word]);
                    }
                }
                Step::Keep => kept.extend(card.netback.keep()),
            }
            for (page, byte) in &kept {
                let mut now = [0];
                page.read(0, &mut now);
                prop_assert_eq!(now[0], *byte, "a page was used while netback has it");
            }
        }
        receive(&mut card);
        let Card { device, netback, back, .. } = card;
        drop(device);
        guest.settle();
        back.set_state(6);
        prop_assert_eq!(guest.resources().1, kept.len() + 2);
        drop((kept, netback));
        back.detach();
        guest.settle();
        prop_assert_eq!(guest.resources(), before);
    }
}

#[test]
fn answers_to_what_was_not_asked_end_the_card() {
    let cases: [fn(&mut Card<'_>); 5] = [
        // Twice, unknown, before it was asked, about what was not said, and more than there can be.
        |card| {
            send(card, 2);
            let sent = card.netback.take().unwrap();
            let id = sent.parts[0].0;
            card.netback.answer(sent, 0);
            card.netback.transmit.answer(&[id]);
        },
        |card| {
            send(card, 1);
            card.netback.transmit.answer(&[1000]);
        },
        |card| {
            card.netback.transmit.answer(&[0]);
        },
        |card| {
            send(card, 1);
            card.netback.transmit.answer(&[1 << 16]);
        },
        |card| card.netback.receive.page.write(8, &77_777_u32.to_le_bytes()),
    ];
    for case in cases {
        let guest = Guest::new();
        let mut card = connect(&guest);
        case(&mut card);
        card.device.transmit_room();
        assert!(card.device.receive().is_none());
        let polled = card.waiter.poll(|cx| card.device.poll_ready(cx));
        assert_eq!(polled, Poll::Ready(Err(DeviceError::Protocol)));
        assert_eq!(card.device.transmit_room(), 0);
        let room = FrameBuf::allocate(&card.device.pool(), 0).unwrap();
        assert!(card.device.transmit(room).is_err());
        card.device.flush();
    }
}

#[test]
fn what_netback_says_of_the_card_is_checked() {
    let refused: [&[(&str, &str)]; 4] =
        [&[("mac", "")], &[("mac", "00:16:3e:zz:00:00")], &[("mac", "\u{fffd}")], &[]];
    for front in refused {
        let guest = Guest::new();
        let back = back(&guest);
        back.attach(front);
        back.offer(FEATURES);
        let started = begin(&back).take().unwrap();
        assert!(matches!(started, Err(ConnectError::Unsuitable(_))), "{front:?}");
        assert_eq!(guest.resources().2, 0);
    }
    let cases = [
        ("0", 68),
        ("67", 68),
        ("9000", 2034),
        ("2000", 2000),
        ("-5", 1500),
        ("99999999999999999999", 1500),
    ];
    for (mtu, expected) in cases {
        let guest = Guest::new();
        let back = back(&guest);
        back.attach(&[FRONT, &[("mtu", mtu)]].concat());
        back.offer(FEATURES);
        let started = begin(&back);
        back.set_state(4);
        let Some(Ok((device, _))) = started.take() else { panic!("mtu {mtu} is refused") };
        assert_eq!(device.info().mtu, expected, "{mtu}");
    }
}
