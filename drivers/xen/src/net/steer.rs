//! Which queue a frame goes through: the same for all frames of a connection, so that they stay in
//! their order.

/// Where things are in a frame: its type, the protocol and the addresses of IPv4 and of IPv6.
const ETHERTYPE: usize = 12;
const IPV4: [u8; 2] = [0x08, 0x00];
const IPV6: [u8; 2] = [0x86, 0xdd];
const HEADER: usize = 14;
const IPV4_ADDRESSES: core::ops::Range<usize> = 26..34;
const IPV6_ADDRESSES: core::ops::Range<usize> = 22..54;
const IPV4_FRAGMENT: usize = 20;
const IPV4_PROTOCOL: usize = 23;
const IPV6_PROTOCOL: usize = 20;
/// Both begin with their two ports.
const TCP: u8 = 6;
const UDP: u8 = 17;

/// One of `count` queues, which is not 0, for a frame.
pub(super) fn queue_for(frame: &[u8], count: usize) -> usize {
    if count == 1 { 0 } else { hash(frame) as usize % count }
}

/// A number that depends on the addresses and ports of a frame, zero if it has none. FNV-1a.
fn hash(frame: &[u8]) -> u32 {
    let flow = flow(frame).unwrap_or_default();
    let mix = |sum: u32, byte: &u8| (sum ^ u32::from(*byte)).wrapping_mul(0x0100_0193);
    let sum = flow.into_iter().flatten().fold(0x811c_9dc5, mix);
    // The low bits of the sum depend on the low bits of the bytes only.
    sum ^ sum >> 16
}

/// The addresses of a frame, and its ports.
fn flow(frame: &[u8]) -> Option<[&[u8]; 2]> {
    let (addresses, ports, protocol) = match frame.get(ETHERTYPE..HEADER)?.try_into().ok()? {
        IPV4 => {
            let length = usize::from(frame.get(HEADER)? & 0xf) * 4;
            // Only the first fragment has ports: none of them is to be told by these.
            let fragment = frame.get(IPV4_FRAGMENT..IPV4_FRAGMENT + 2)?;
            let is_whole = fragment[0] & 0x3f == 0 && fragment[1] == 0;
            let protocol = if is_whole { *frame.get(IPV4_PROTOCOL)? } else { 0 };
            (IPV4_ADDRESSES, HEADER + length, protocol)
        }
        IPV6 => (IPV6_ADDRESSES, IPV6_ADDRESSES.end, *frame.get(IPV6_PROTOCOL)?),
        _ => return None,
    };
    let ports = match protocol {
        TCP | UDP => frame.get(ports..ports + 4).unwrap_or_default(),
        _ => &[],
    };
    Some([frame.get(addresses)?, ports])
}

#[cfg(test)]
mod tests {
    extern crate std;

    use std::{vec, vec::Vec};

    use super::*;

    fn packet(port: u16, payload: u8) -> Vec<u8> {
        let mut frame = vec![payload; 100];
        frame[..54].fill(0);
        frame[12..14].copy_from_slice(&[0x08, 0x00]);
        frame[14] = 0x45;
        frame[23] = 6;
        frame[26..34].copy_from_slice(&[10, 0, 0, 1, 10, 0, 0, 2]);
        frame[34..36].copy_from_slice(&port.to_be_bytes());
        frame
    }

    #[test]
    fn a_connection_stays_in_its_queue() {
        for port in 0..100 {
            let queue = queue_for(&packet(port, 1), 4);
            assert!(queue < 4);
            assert_eq!(queue_for(&packet(port, 2), 4), queue);
            assert_eq!(queue_for(&packet(port, 2), 1), 0);
        }
    }

    fn packet_v6(port: u16) -> Vec<u8> {
        let mut frame = vec![0; 100];
        frame[12..14].copy_from_slice(&[0x86, 0xdd]);
        frame[20] = 17;
        frame[22..54].fill(0xfd);
        frame[54..56].copy_from_slice(&port.to_be_bytes());
        frame
    }

    /// The same packet with a number in its addresses, at this place of the frame.
    fn of_host(mut frame: Vec<u8>, at: usize, number: u16) -> Vec<u8> {
        frame[at..at + 2].copy_from_slice(&number.to_be_bytes());
        frame
    }

    #[test]
    fn connections_are_spread_evenly() {
        type Number = fn(u16) -> Vec<u8>;
        let flows: [Number; 6] = [
            |port| packet(port, 0),
            packet_v6,
            // Of one port, from and to different hosts.
            |host| of_host(packet(1, 0), 28, host),
            |host| of_host(packet(1, 0), 32, host),
            |host| of_host(packet_v6(1), 36, host),
            |host| of_host(packet_v6(1), 52, host),
        ];
        for (count, flow) in [2, 3, 4, 8].into_iter().flat_map(|c| flows.map(|flow| (c, flow))) {
            let mut used = vec![0; count];
            (0..1000).for_each(|number| used[queue_for(&flow(number), count)] += 1);
            let fair = 1000 / count;
            assert!(used.iter().all(|used| (fair / 2..fair * 2).contains(used)), "{used:?}");
        }
    }

    #[test]
    fn ports_are_found_behind_options() {
        let queue = |port: u16, option: u8| {
            let mut frame = packet(option.into(), 0);
            frame[14] = 0x46;
            frame[38..40].copy_from_slice(&port.to_be_bytes());
            queue_for(&frame, 8)
        };
        for port in 0..20 {
            assert_eq!(queue(port, 1), queue(port, 2));
        }
        assert!((1..20).any(|port| queue(port, 1) != queue(0, 1)));
    }

    #[test]
    fn fragments_go_where_the_others_of_their_packet_go() {
        let fragment = |port: u16, offset: u8| {
            let mut frame = packet(port, 0);
            frame[20..22].copy_from_slice(&[0x20, offset]);
            frame
        };
        for port in 0..20 {
            assert_eq!(queue_for(&fragment(port, 0), 8), queue_for(&fragment(7, 185), 8));
        }
    }

    #[test]
    fn anything_has_a_queue() {
        for length in 0..100 {
            assert!(queue_for(&packet(1, 0)[..length], 3) < 3);
            assert!(queue_for(&vec![0xff; length], 3) < 3);
        }
    }
}
