//! UDP sockets, as apps see them.

use alloc::collections::VecDeque;
use core::{
    future::poll_fn,
    net::SocketAddr,
    task::{Context, Poll},
};

use smoltcp::wire::{IpAddress, IpEndpoint};

use super::{
    datagram::Datagram,
    engine::{Binding, SendError},
};
use crate::{
    executor::{Awaiting, describe},
    memory,
    net::{Error, Network, waker::WakerSlot},
};

/// Datagrams that may wait to be read, unless `bind_with` says otherwise.
const DEFAULT_QUEUE: usize = 64;
/// Ports for sockets that do not care (RFC 6335 section 6).
const EPHEMERAL: core::ops::RangeInclusive<u16> = 49_152..=65_535;

/// A UDP port of a network.
///
/// Datagrams that come in while the queue is full are dropped. Several tasks may send, one at a
/// time may receive.
#[derive(Debug)]
pub struct UdpSocket {
    network: Network,
    port: u16,
}

impl UdpSocket {
    /// Takes `port`, or any free one if that is 0. Up to 64 datagrams wait to be read.
    ///
    /// # Errors
    /// [`Error::AddressInUse`]; [`Error::OutOfMemory`], also if no port is free.
    pub async fn bind(network: &Network, port: u16) -> Result<Self, Error> {
        Self::bind_with(network, port, DEFAULT_QUEUE).await
    }

    /// Takes `port`, or any free one if that is 0. Up to `queue` datagrams wait to be read. Each of
    /// them occupies one of the device's buffers, or, when the device can spare no more for all
    /// sockets, as much memory, if that is not short.
    ///
    /// # Errors
    /// As [`bind`](Self::bind).
    pub async fn bind_with(network: &Network, port: u16, queue: usize) -> Result<Self, Error> {
        let port = network.with(|stack| {
            let port = if port == 0 { stack.free_port().ok_or(Error::OutOfMemory)? } else { port };
            if stack.bindings.contains(port) {
                return Err(Error::AddressInUse);
            }
            let binding = Binding {
                limit: queue.max(1),
                queue: VecDeque::new(),
                waker: WakerSlot::new(),
                peer: None,
            };
            let binding = memory::try_box(binding, "a UDP socket");
            let added = binding.map(|binding| stack.bindings.insert(port, binding));
            added.ok().and_then(Result::ok).ok_or(Error::OutOfMemory)?;
            Ok(port)
        })?;
        Ok(Self { network: network.clone(), port })
    }

    /// The port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Makes `peer` the only one: `send` goes there, and what others send is dropped. What is
    /// already in the queue stays.
    pub fn connect(&self, peer: SocketAddr) {
        self.network.with(|stack| {
            if let Some(binding) = stack.bindings.get_mut(self.port) {
                binding.peer = Some(peer.into());
            }
        });
    }

    /// Waits for the next datagram and takes it, without a copy.
    ///
    /// # Errors
    /// [`Error::DeviceGone`].
    pub async fn recv(&self) -> Result<Datagram, Error> {
        poll_fn(|cx| self.poll_recv(cx)).await
    }

    /// As [`recv`](Self::recv), for hand-written futures.
    pub fn poll_recv(&self, cx: &mut Context<'_>) -> Poll<Result<Datagram, Error>> {
        self.network.with(|stack| {
            let Some(binding) = stack.bindings.get_mut(self.port) else {
                return Poll::Ready(Err(Error::Closed));
            };
            if let Some(datagram) = binding.take(&mut stack.kept) {
                return Poll::Ready(Ok(datagram));
            }
            if stack.is_dead {
                return Poll::Ready(Err(Error::DeviceGone));
            }
            binding.waker.register(cx.waker());
            describe(Awaiting::new("a datagram at UDP port {}", self.port.into()));
            Poll::Pending
        })
    }

    /// Waits for the next datagram and copies it to the start of `buffer`. Returns its length and
    /// its sender.
    ///
    /// # Errors
    /// [`Error::Truncated`] if it does not fit (it is lost then), [`Error::DeviceGone`].
    pub async fn recv_from(&self, buffer: &mut [u8]) -> Result<(usize, SocketAddr), Error> {
        let datagram = self.recv().await?;
        let payload = datagram.payload();
        let Some(start) = buffer.get_mut(..payload.len()) else { return Err(Error::Truncated) };
        start.copy_from_slice(payload);
        Ok((payload.len(), datagram.peer()))
    }

    /// Sends a datagram to `peer`; waits if the device has no room.
    ///
    /// It is not known whether it arrives. If the peer's Ethernet address must be found out first,
    /// it is sent later, and dropped if there is no answer.
    ///
    /// # Errors
    /// [`Error::InvalidAddress`], [`Error::Unreachable`], [`Error::MessageTooLong`],
    /// [`Error::OutOfMemory`], [`Error::DeviceGone`].
    pub async fn send_to(&self, data: &[u8], peer: SocketAddr) -> Result<(), Error> {
        let fill = |to: &mut [u8]| to.copy_from_slice(data);
        self.send_with(data.len(), peer, fill).await
    }

    /// Sends a datagram of `length` bytes to `peer`, which `fill` writes in place.
    ///
    /// # Errors
    /// As [`send_to`](Self::send_to).
    pub async fn send_with<R>(
        &self,
        length: usize,
        peer: SocketAddr,
        mut fill: impl FnMut(&mut [u8]) -> R,
    ) -> Result<R, Error> {
        poll_fn(|cx| self.poll_send(cx, None, peer.into(), length, &mut fill)).await
    }

    /// Answers `datagram`: sends `data` to its sender, from the address that it was sent to.
    ///
    /// # Errors
    /// As [`send_to`](Self::send_to).
    pub async fn reply(&self, datagram: &Datagram, data: &[u8]) -> Result<(), Error> {
        let mut fill = |to: &mut [u8]| to.copy_from_slice(data);
        let source = Some(datagram.local);
        poll_fn(|cx| self.poll_send(cx, source, datagram.peer, data.len(), &mut fill)).await
    }

    /// Sends a datagram to the peer of [`connect`](Self::connect).
    ///
    /// # Errors
    /// As [`send_to`](Self::send_to), [`Error::InvalidAddress`] if there was no `connect`.
    pub async fn send(&self, data: &[u8]) -> Result<(), Error> {
        let peer = self.network.with(|stack| stack.bindings.get(self.port)?.peer);
        self.send_to(data, peer.ok_or(Error::InvalidAddress)?.into()).await
    }

    fn poll_send<R>(
        &self,
        cx: &mut Context<'_>,
        source: Option<IpAddress>,
        peer: IpEndpoint,
        length: usize,
        fill: impl FnMut(&mut [u8]) -> R,
    ) -> Poll<Result<R, Error>> {
        self.network.with(|stack| {
            if stack.is_dead {
                return Poll::Ready(Err(Error::DeviceGone));
            }
            let source = source.filter(|source| stack.interface.has_ip_addr(*source));
            match stack.send_udp(source, self.port, peer, length, fill) {
                Ok(result) => Poll::Ready(Ok(result)),
                Err(SendError::Failed(error)) => Poll::Ready(Err(error)),
                Err(SendError::Full) => {
                    stack.room_waiters.register(cx.waker());
                    stack.wake_runner();
                    describe(Awaiting::new("room to send from UDP port {}", self.port.into()));
                    Poll::Pending
                }
            }
        })
    }
}

impl Drop for UdpSocket {
    fn drop(&mut self) {
        // The datagrams return to their pool outside of the stack.
        let binding = self.network.with(|stack| stack.unbind(self.port));
        drop(binding);
    }
}

impl crate::net::stack::Stack {
    fn free_port(&mut self) -> Option<u16> {
        let count = u64::from(EPHEMERAL.end() - EPHEMERAL.start()) + 1;
        let first = self.random.next() % count;
        (0..count)
            .map(|step| *EPHEMERAL.start() + ((first + step) % count) as u16)
            .find(|port| !self.bindings.contains(*port))
    }
}
