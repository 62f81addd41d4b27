//! Frames on several pages.

use core::{num::NonZeroU16, task::Poll};

use super::*;
use crate::net::wire::ExtraInfo;

/// What a netback of Linux can do.
pub(super) const FEATURES: &[(&str, &str)] =
    &[("feature-sg", "1"), ("feature-gso-tcpv4", "1"), ("feature-gso-tcpv6", "1")];

pub(super) const SEGMENT: NonZeroU16 = NonZeroU16::new(1448).unwrap();

fn segments() -> [u32; 2] {
    ExtraInfo::Segments { ipv6: false, size: SEGMENT }.words()
}

fn send(card: &mut Card<'_>, bytes: &[u8]) {
    let mut frame = FrameBuf::allocate(&card.device.large_pool().unwrap(), 0).unwrap();
    assert!(frame.set_range(0, bytes.len()));
    frame.bytes_mut().copy_from_slice(bytes);
    card.device.transmit_segmented(frame, SEGMENT).unwrap();
    card.device.flush();
}

/// How netback spreads a frame of this length.
fn sizes(length: usize) -> Vec<usize> {
    (0..length).step_by(4096).map(|at| (length - at).min(4096)).collect()
}

/// Takes the only frame that there is.
fn received(card: &mut Card<'_>) -> Option<(Vec<u8>, bool)> {
    let frame = card.device.receive();
    let received = frame.map(|received| (received.frame.bytes().to_vec(), received.checked));
    assert!(card.device.receive().is_none());
    assert!(card.waiter.poll(|cx| card.device.poll_ready(cx)).is_pending());
    received
}

#[test]
fn long_packets_go_out_page_by_page() {
    let guest = Guest::new();
    let mut card = connect_with(&guest, &[], FEATURES);
    assert_eq!(card.device.segmentation().tcp_ipv4, 65_535);
    assert_eq!(card.device.segmentation().tcp_ipv6, 65_535);
    let in_use = guest.resources();
    for payload in [1, 4042, 4043, 8138, 30_000, 65_481] {
        for _ in 0..20 {
            send(&mut card, &tcp(payload));
            let sent = card.netback.take().unwrap();
            assert_eq!((sent.flags, sent.extra), (BLANK, Some(segments())));
            assert_eq!(sent.parts.len(), (54 + payload).div_ceil(4096));
            assert_eq!(sent.bytes, tcp(payload));
            card.netback.answer(sent, 0);
            assert!(card.netback.take().is_none());
            assert!(card.device.transmit_room() > 0);
        }
    }
    assert_eq!(guest.resources(), in_use);
}

#[test]
fn long_packets_of_ipv6_are_called_so() {
    let guest = Guest::new();
    let mut card = connect_with(&guest, &[], FEATURES);
    let mut bytes = pattern(1, 14 + 40 + 20 + 5000);
    bytes[12..14].copy_from_slice(&[0x86, 0xdd]);
    bytes[14 + 6] = 6;
    bytes[54 + 12] = 0x50;
    send(&mut card, &bytes);
    let sent = card.netback.take().unwrap();
    // Kind 2 of netif.h, as the type and the size are in the first word.
    assert_eq!((sent.flags, sent.extra), (BLANK, Some([1 | 1448 << 16, 2])));
    assert_eq!(sent.bytes, bytes);
}

#[test]
fn short_and_long_packets_share_the_ring() {
    let guest = Guest::new();
    let mut card = connect_with(&guest, &[], FEATURES);
    let in_use = guest.resources();
    for round in 0..50 {
        let mut expected = Vec::new();
        while card.device.transmit_room() > 0 {
            if (round + expected.len()) % 3 == 0 {
                let sent = frame(&*card.device, &pattern(round, 60));
                card.device.transmit(sent).unwrap();
                expected.push(pattern(round, 60));
            } else {
                expected.push(tcp(1448 * (1 + expected.len() * 5 % 44)));
                send(&mut card, expected.last().unwrap());
            }
        }
        assert!(expected.len() >= 8);
        assert!(card.waiter.poll(|cx| card.device.poll_ready(cx)).is_pending());
        card.device.flush();
        assert_eq!(card.netback.drain(), expected);
        assert!(card.waiter.is_woken());
        assert_eq!(card.waiter.poll(|cx| card.device.poll_ready(cx)), Poll::Ready(Ok(())));
    }
    assert!(card.device.transmit_room() > 0);
    assert_eq!(guest.resources(), in_use);
}

#[test]
fn what_the_back_end_does_not_take_is_not_sent() {
    let [scatters, ipv4, ipv6] = ["feature-sg", "feature-gso-tcpv4", "feature-gso-tcpv6"];
    let cases: [(&[&str], (usize, usize)); 4] = [
        (&[], (0, 0)),
        (&[ipv4], (0, 0)),
        (&[scatters, ipv4], (65_535, 0)),
        (&[scatters, ipv6], (0, 65_535)),
    ];
    for (features, expected) in cases {
        let guest = Guest::new();
        let features: Vec<_> = features.iter().map(|name| (*name, "1")).collect();
        let mut card = connect_with(&guest, &[], &features);
        let segmentation = card.device.segmentation();
        assert_eq!((segmentation.tcp_ipv4, segmentation.tcp_ipv6), expected);
        assert_eq!(card.device.large_pool().is_some(), expected != (0, 0));
        // It has no checksum to go on from.
        let odd = frame(&*card.device, &pattern(0, 100));
        let result = card.device.transmit_segmented(odd, SEGMENT);
        assert_eq!(result, Err(DeviceError::Unsupported));
        let empty = frame(&*card.device, &[]);
        assert_eq!(card.device.transmit(empty), Err(DeviceError::Unsupported));
        assert!(card.netback.take().is_none());
    }
    // Who cuts a packet into segments has to fill in their checksums.
    let guest = Guest::new();
    let without = [FEATURES, &[("feature-ipv6-csum-offload", "0")]].concat();
    let card = connect_with(&guest, &[], &without);
    assert_eq!(card.device.segmentation(), Default::default());
}

#[test]
fn jumbo_frames_go_both_ways() {
    let guest = Guest::new();
    let mut card = connect_with(&guest, &[("mtu", "9000")], &[("feature-sg", "1")]);
    assert_eq!(card.device.info().mtu, 9000);
    for length in [60, 4096, 4097, 9014] {
        let bytes = pattern(length, length);
        let sent = frame(&*card.device, &bytes);
        card.device.transmit(sent).unwrap();
        card.device.flush();
        assert_eq!(card.netback.drain(), core::slice::from_ref(&bytes));
        card.netback.deliver_parts(&bytes, &sizes(length), 0, None);
        assert_eq!(received(&mut card), Some((bytes, false)));
    }
}

#[test]
fn long_packets_come_in_in_one_piece() {
    let guest = Guest::new();
    let mut card = connect_with(&guest, &[], FEATURES);
    let nodes = [
        "request-rx-copy",
        "feature-rx-notify",
        "feature-ipv6-csum-offload",
        "feature-sg",
        "feature-gso-tcpv4",
        "feature-gso-tcpv6",
    ];
    for name in nodes {
        assert_eq!(card.back.front(name).as_deref(), Some("1"));
    }
    for round in 0..300 {
        let bytes = pattern(round, 14 + round * 7919 % 65_523);
        let extra = (round % 5 != 0).then(segments);
        card.netback.deliver_parts(&bytes, &sizes(bytes.len()), BLANK, extra);
        assert_eq!(received(&mut card), Some((bytes, true)));
    }
}

#[test]
fn parts_may_come_one_by_one() {
    let guest = Guest::new();
    let mut card = connect_with(&guest, &[], FEATURES);
    let bytes = pattern(1, 6000);
    assert!(card.netback.deliver(&bytes[..4096], 4 | 8));
    assert!(received(&mut card).is_none());
    card.netback.extra(segments());
    assert!(received(&mut card).is_none());
    assert!(card.netback.deliver(&bytes[4096..], 0));
    assert_eq!(received(&mut card), Some((bytes, false)));
}

#[test]
fn chains_that_make_no_sense_are_dropped() {
    /// Sizes of parts, and what is said about them.
    type Chain = (&'static [i16], Option<[u32; 2]>);
    let none = [0; 2];
    let cases: [Chain; 9] = [
        // Too short, an error, nothing.
        (&[13, 4096], None),
        (&[4096, -1, 4096], None),
        (&[4096, 0], None),
        (&[4096, 4097], None),
        // Too many, and too much.
        (&[100; 19], None),
        (&[4096; 17], None),
        // Something that was not asked for.
        (&[4096, 100], Some(none)),
        (&[100], Some([0x05a8_0004, 1])),
        (&[100], Some([0x0000_0001, 1])),
    ];
    for (parts, extra) in cases {
        let guest = Guest::new();
        let mut card = connect_with(&guest, &[], FEATURES);
        for (index, size) in parts.iter().enumerate() {
            let more = if index + 1 < parts.len() { 4 } else { 0 };
            let announced = extra.filter(|_| index == 0);
            let flags = more | if announced.is_some() { 8 } else { 0 };
            assert!(card.netback.respond_next(0, flags, *size as u16));
            if let Some(words) = announced {
                card.netback.extra(words);
            }
        }
        assert!(received(&mut card).is_none(), "{parts:?}");
        let bytes = pattern(2, 5000);
        card.netback.deliver_parts(&bytes, &sizes(5000), BLANK, Some(segments()));
        assert_eq!(received(&mut card), Some((bytes, true)));
    }
}

#[test]
fn a_chain_without_end_keeps_nobody_busy() {
    for has_parts in [false, true] {
        let guest = Guest::new();
        let mut card = connect_with(&guest, &[], FEATURES);
        let in_use = guest.resources();
        assert!(card.netback.respond_next(0, if has_parts { 4 } else { 8 }, 4096));
        for _ in 0..1000 {
            if has_parts {
                assert!(card.netback.respond_next(0, 4, 4096));
            } else {
                // More of them follow.
                card.netback.extra([0x05a8_0101, 1]);
            }
            assert!(received(&mut card).is_none());
        }
        assert_eq!(guest.resources(), in_use);
    }
}

#[test]
fn there_are_always_pages_for_a_long_packet() {
    let guest = Guest::new();
    let mut card = connect_with(&guest, &[], FEATURES);
    let mut held = Vec::new();
    for round in 0..1000 {
        assert!(card.netback.deliver(&pattern(round, 60), 0));
        held.extend(card.device.receive());
        assert!(card.waiter.poll(|cx| card.device.poll_ready(cx)).is_pending());
    }
    // All that there are, but those that stay in the ring.
    assert_eq!(held.len(), 256 - 18);
    let bytes = pattern(1, 65_536);
    card.netback.deliver_parts(&bytes, &sizes(65_536), BLANK, Some(segments()));
    assert_eq!(received(&mut card), Some((bytes, true)));
}
