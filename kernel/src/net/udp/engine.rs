//! What the stack does with UDP datagrams.
//!
//! smoltcp's UDP sockets copy a datagram into a ring and out of it, in both directions. Here the
//! frame itself waits in the socket's queue until it is read, and a datagram is written straight
//! into the frame that goes out.

use alloc::collections::VecDeque;

use mayfly_device::{FrameBuf, Received};
use smoltcp::wire::{IpAddress, IpEndpoint};

use super::Datagram;
use crate::net::{
    Error, checksum, emit,
    stack::Stack,
    waker::WakerSlot,
    wire::{Flow, Segment},
};

const UDP_HEADER: usize = 8;

/// A port that datagrams come in at.
pub(in crate::net) struct Binding {
    /// Datagrams that may wait to be read.
    pub(in crate::net) limit: usize,
    pub(in crate::net) queue: VecDeque<Datagram>,
    pub(in crate::net) waker: WakerSlot,
    /// The only peer, if there is one.
    pub(in crate::net) peer: Option<IpEndpoint>,
}

/// Why a datagram was not sent.
pub(in crate::net) enum SendError {
    /// The device has no room at the moment.
    Full,
    /// It will never be.
    Failed(Error),
}

impl Stack {
    /// Takes a UDP datagram in.
    pub(in crate::net) fn input_udp(&mut self, received: Received, segment: &Segment) {
        let flow = &segment.flow;
        let Some(binding) = self.bindings.get_mut(flow.local.port) else {
            if flow.remote.addr.is_unspecified() {
                self.port.stats.dropped_frames += 1;
                return;
            }
            // DHCP, DNS, or nobody: smoltcp answers that the port is unreachable.
            self.base_is_due();
            return self.input_base(received.frame.bytes());
        };
        let is_ours = self.interface.has_ip_addr(flow.local.addr)
            || is_broadcast(&self.interface, &flow.local.addr);
        let is_welcome = binding.peer.is_none_or(|peer| peer == flow.remote);
        // RFC 1122 section 3.2.1.3: nobody sends as everybody. An answer would go to all. Of
        // segments of TCP, smoltcp drops those.
        let is_nobody = is_broadcast(&self.interface, &flow.remote.addr);
        if !is_ours || !is_welcome || is_nobody {
            self.port.stats.dropped_frames += 1;
            return;
        }
        if binding.queue.len() >= binding.limit || binding.queue.try_reserve(1).is_err() {
            self.port.stats.dropped_datagrams += 1;
            return;
        }
        let is_spared = self.kept.keep(&received.frame, self.port.info.spare_buffers);
        binding.queue.push_back(Datagram {
            peer: flow.remote,
            local: flow.local.addr,
            start: segment.start + UDP_HEADER,
            end: segment.end,
            frame: received.frame,
        });
        binding.waker.wake();
        if !is_spared {
            self.copy_newest(flow.local.port);
        }
    }

    /// Sends a datagram of `length` bytes, which `fill` writes.
    pub(in crate::net) fn send_udp<R>(
        &mut self,
        source: Option<IpAddress>,
        port: u16,
        remote: IpEndpoint,
        length: usize,
        fill: impl FnOnce(&mut [u8]) -> R,
    ) -> Result<R, SendError> {
        if remote.port == 0 || remote.addr.is_unspecified() {
            return Err(SendError::Failed(Error::InvalidAddress));
        }
        let Some((default_source, next_hop)) = self.route(&remote.addr) else {
            return Err(SendError::Failed(Error::Unreachable));
        };
        let local = IpEndpoint::new(source.unwrap_or(default_source), port);
        let headers = UDP_HEADER + if matches!(local.addr, IpAddress::Ipv4(_)) { 20 } else { 40 };
        if self.port.info.mtu.checked_sub(headers).is_none_or(|room| length > room) {
            return Err(SendError::Failed(Error::MessageTooLong));
        }
        if !self.port.has_room() {
            return Err(SendError::Full);
        }
        let flow = Flow { local, remote };
        let Some((frame, result)) = emit::udp(&mut self.port, &flow, length, fill) else {
            self.port.stats.out_of_memory += 1;
            return Err(SendError::Failed(Error::OutOfMemory));
        };
        self.send_to(frame, local.addr, &remote.addr, next_hop);
        Ok(result)
    }

    fn send_to(
        &mut self,
        mut frame: FrameBuf,
        source: IpAddress,
        destination: &IpAddress,
        next_hop: IpAddress,
    ) {
        let mac = if is_broadcast(&self.interface, destination) {
            Some([0xff; 6])
        } else {
            emit::group_mac(destination).or_else(|| self.neighbors.lookup(&next_hop, self.now))
        };
        match mac {
            Some(mac) => {
                emit::set_destination(&mut frame, mac);
                self.port.send(frame);
            }
            None => {
                let (port, now) = (&mut self.port, self.now);
                self.neighbors.send_when_known(port, source, next_hop, frame, now);
                self.upkeep_is_due = true;
            }
        }
        self.wake_runner();
    }
}

/// Whether the checksum of the datagram or segment is right, or vouched for.
pub(in crate::net) fn is_intact(received: &Received, segment: &Segment, protocol: u8) -> bool {
    received.checked
        || received.frame.bytes().get(segment.start..segment.end).is_some_and(|bytes| {
            let Flow { local, remote } = &segment.flow;
            checksum::is_intact(&remote.addr, &local.addr, protocol, bytes)
        })
}

/// Whether the address means everybody on the link.
fn is_broadcast(interface: &smoltcp::iface::Interface, address: &IpAddress) -> bool {
    let IpAddress::Ipv4(address) = address else { return false };
    address.is_broadcast()
        || interface.ip_addrs().iter().any(|own| match own {
            smoltcp::wire::IpCidr::Ipv4(own) => own.broadcast() == Some(*address),
            smoltcp::wire::IpCidr::Ipv6(_) => false,
        })
}
