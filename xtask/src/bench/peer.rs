//! The other end of a guest's network cable: asks for its address and pings it, until it answers.
//!
//! QEMU's `-netdev dgram` carries each Ethernet frame in a datagram, so that no privilege is needed
//! and nothing stands between the frames and us.

use std::net::{Ipv4Addr, UdpSocket};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

/// Our addresses and the guest's.
const OUR_MAC: [u8; 6] = [2, 0, 0, 0, 0, 1];
const GUEST_MAC: [u8; 6] = [2, 0, 0, 0, 0, 2];
const OUR_IP: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 1);
const GUEST_IP: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 2);

/// The boot argument that gives the guest its address.
pub const BOOT_ARGUMENT: &str = "ip=10.77.0.2/24";

/// Time between two pings.
const INTERVAL: Duration = Duration::from_millis(2);

/// The cable.
pub struct Peer {
    socket: UdpSocket,
    guest_port: u16,
}

impl Peer {
    /// Lays it.
    pub fn new() -> Result<Self> {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).context("no UDP port")?;
        socket.set_read_timeout(Some(INTERVAL))?;
        // QEMU binds this one, in a moment.
        let guest_port = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port();
        Ok(Self { socket, guest_port })
    }

    /// Connects the guest: values for QEMU's `-netdev` and `-device`.
    pub fn qemu_arguments(&self, transport: &str) -> Result<[String; 2]> {
        let ours = self.socket.local_addr()?.port();
        let host = "type=inet,{}.host=127.0.0.1";
        let end = |name: &str, port: u16| {
            format!("{name}.{},{name}.port={port}", host.replace("{}", name))
        };
        let mac = GUEST_MAC.map(|byte| format!("{byte:02x}")).join(":");
        Ok([
            format!("dgram,id=net0,{},{}", end("local", self.guest_port), end("remote", ours)),
            format!("virtio-net-{transport},netdev=net0,mac={mac}"),
        ])
    }

    /// Pings until the first answer; then calls `answered`, at once.
    ///
    /// # Errors
    /// If there is none in time, or as soon as the guest is not `alive` any more.
    pub fn ping<T>(
        &self,
        timeout: Duration,
        mut alive: impl FnMut() -> bool,
        answered: impl FnOnce() -> T,
    ) -> Result<T> {
        let deadline = Instant::now() + timeout;
        let mut frame = [0; 2048];
        while Instant::now() < deadline {
            ensure!(alive(), "the guest ended before it answered a ping");
            // The question tells the guest our address, so that it can answer the ping.
            for frame in [arp_request(), echo_request()] {
                // Nobody listens before QEMU is there.
                self.socket.send_to(&frame, (Ipv4Addr::LOCALHOST, self.guest_port)).ok();
            }
            let round = Instant::now();
            while round.elapsed() < INTERVAL {
                let Ok(length) = self.socket.recv(&mut frame) else { break };
                if is_echo_reply(frame.get(..length).unwrap_or_default()) {
                    return Ok(answered());
                }
            }
        }
        bail!("the guest answers no ping within {} s", timeout.as_secs())
    }
}

/// An Ethernet frame (IEEE 802.3) from us.
fn frame(to: [u8; 6], kind: u16, payload: &[u8]) -> Vec<u8> {
    [&to[..], &OUR_MAC, &kind.to_be_bytes(), payload].concat()
}

/// Who has the guest's address? (RFC 826)
fn arp_request() -> Vec<u8> {
    let fixed = [0, 1, 8, 0, 6, 4, 0, 1];
    let payload = [&fixed[..], &OUR_MAC, &OUR_IP.octets(), &[0; 6], &GUEST_IP.octets()].concat();
    frame([0xff; 6], 0x0806, &payload)
}

/// A ping with no data (RFC 791, RFC 792).
fn echo_request() -> Vec<u8> {
    let mut icmp = vec![8, 0, 0, 0, 0x4d, 0x46, 0, 1];
    let sum = checksum(&icmp);
    icmp[2..4].copy_from_slice(&sum.to_be_bytes());
    let mut ip = vec![0x45, 0, 0, 28, 0, 0, 0x40, 0, 64, 1, 0, 0];
    ip.extend(OUR_IP.octets());
    ip.extend(GUEST_IP.octets());
    let sum = checksum(&ip);
    ip[10..12].copy_from_slice(&sum.to_be_bytes());
    frame(GUEST_MAC, 0x0800, &[ip, icmp].concat())
}

/// Whether a frame is an IPv4 packet of 20 bytes of header that holds an ICMP echo reply.
fn is_echo_reply(frame: &[u8]) -> bool {
    frame.get(12..15) == Some(&[8, 0, 0x45])
        && frame.get(23) == Some(&1)
        && frame.get(34) == Some(&0)
}

/// The Internet checksum (RFC 1071) of an even number of bytes.
fn checksum(bytes: &[u8]) -> u16 {
    let words = bytes.chunks_exact(2).map(|pair| u32::from(pair[0]) << 8 | u32::from(pair[1]));
    let sum: u32 = words.sum();
    let folded = (sum & 0xffff) + (sum >> 16);
    !((folded & 0xffff) + (folded >> 16)) as u16
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checksum_of_what_includes_it_is_zero() {
        let request = echo_request();
        assert_eq!(request.len(), 14 + 20 + 8);
        assert_eq!(checksum(&request[14..34]), 0);
        assert_eq!(checksum(&request[34..]), 0);
        assert_eq!(arp_request().len(), 14 + 28);
    }

    #[test]
    fn replies_are_told_from_requests() {
        let mut reply = echo_request();
        assert!(!is_echo_reply(&reply));
        reply[34] = 0;
        assert!(is_echo_reply(&reply));
        assert!(!is_echo_reply(&arp_request()));
        assert!(!is_echo_reply(&[]));
    }

    #[test]
    fn a_guest_that_has_ended_is_not_waited_for() {
        let peer = Peer::new().unwrap();
        let error = peer.ping(Duration::from_secs(60), || false, || ()).unwrap_err();
        assert!(error.to_string().contains("ended"));
        let error = peer.ping(Duration::ZERO, || true, || ()).unwrap_err();
        assert!(error.to_string().contains("no ping"));
    }

    #[test]
    fn both_ends_of_the_cable_are_named() {
        let peer = Peer::new().unwrap();
        let [backend, device] = peer.qemu_arguments("device").unwrap();
        assert!(
            backend.starts_with("dgram,id=net0,local.type=inet,local.host=127.0.0.1,local.port=")
        );
        assert!(device.ends_with("mac=02:00:00:00:00:02"));
    }
}
