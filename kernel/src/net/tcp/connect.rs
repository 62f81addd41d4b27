//! How an app gets a connection to somebody who listens.

use core::{
    future::poll_fn,
    net::SocketAddr,
    ops::RangeInclusive,
    task::{Context, Poll},
    time::Duration,
};

use smoltcp::{
    socket::tcp::State,
    wire::{IpAddress, IpEndpoint, IpListenEndpoint},
};

use super::{
    TcpOptions, TcpStream,
    connection::{Connection, Owner},
    peer_options::PeerOptions,
    stream::wait,
};
use crate::{
    net::{Error, Network, flow_map::Id, stack::Stack, wire::Flow},
    time::timeout,
};

/// Ports for outgoing connections (RFC 6335 section 6).
const EPHEMERAL: RangeInclusive<u16> = 49_152..=65_535;
/// Least payload of a full segment that smoltcp believes a peer.
const MIN_SEGMENT: usize = 48;
/// How long the peer may take to answer a request for a connection.
const CONNECT_TIME: Duration = Duration::from_secs(30);

impl TcpStream {
    /// Connects to `remote`.
    ///
    /// # Errors
    /// [`Error::Unreachable`] without an address or a route; [`Error::Refused`]; [`Error::TimedOut`]
    /// after 30 seconds; [`Error::OutOfMemory`].
    pub async fn connect(network: &Network, remote: SocketAddr) -> Result<Self, Error> {
        Self::connect_with(network, remote, TcpOptions::default()).await
    }

    /// Connects to `remote`, with buffers as `options` say.
    ///
    /// # Errors
    /// As [`connect`](Self::connect).
    pub async fn connect_with(
        network: &Network,
        remote: SocketAddr,
        options: TcpOptions,
    ) -> Result<Self, Error> {
        let id = network.with(|stack| stack.connect(remote.into(), &options))?;
        // From here on dropping the future closes the connection.
        let stream = Self::new(network.clone(), id);
        // smoltcp's timers rest while the link is down.
        let connected = timeout(CONNECT_TIME, poll_fn(|cx| stream.poll_connected(cx)));
        connected.await.map_err(|_| Error::TimedOut)??;
        Ok(stream)
    }

    fn poll_connected(&self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.with(|socket, error| match socket.state() {
            State::SynSent | State::SynReceived => {
                socket.register_send_waker(cx.waker());
                wait("a TCP connection to port {}", socket);
                Poll::Pending
            }
            State::Closed => Poll::Ready(Err(match error {
                Some(Error::Reset) => Error::Refused,
                Some(error) => error,
                None => Error::Closed,
            })),
            _ => Poll::Ready(Ok(())),
        })
    }
}

impl Stack {
    fn connect(&mut self, remote: IpEndpoint, options: &TcpOptions) -> Result<Id, Error> {
        if remote.port == 0 || remote.addr.is_unspecified() || remote.addr.is_multicast() {
            return Err(Error::InvalidAddress);
        }
        if self.is_dead {
            return Err(Error::DeviceGone);
        }
        let Some((source, _)) = self.route(&remote.addr) else { return Err(Error::Unreachable) };
        let flow = self.free_flow(source, remote).ok_or(Error::OutOfMemory)?;
        let full = self.full_segment(&source, &PeerOptions::default());
        let connection = Connection::new(options, full, Owner::Stream, self.now);
        let mut connection = connection.ok_or(Error::OutOfMemory)?;
        let local = IpListenEndpoint::from(flow.local);
        let connected = connection.socket().connect(self.interface.context(), remote, local);
        connected.map_err(|_| Error::InvalidAddress)?;
        let id = self.add_connection(flow, connection).ok_or(Error::OutOfMemory)?;
        self.line_up_to_send(id);
        self.wake_runner();
        Ok(id)
    }

    /// Bytes of payload in a full segment to a peer that said `peer`.
    pub(super) fn full_segment(&self, own: &IpAddress, peer: &PeerOptions) -> usize {
        let headers = if matches!(own, IpAddress::Ipv4(_)) { 40 } else { 60 };
        let fits = self.port.info.mtu.saturating_sub(headers);
        peer.max_segment_size().unwrap_or(fits).clamp(MIN_SEGMENT, fits.max(MIN_SEGMENT))
    }

    /// Chooses a port at random (RFC 6056 section 3.3.1) that is free for this peer.
    fn free_flow(&mut self, source: IpAddress, remote: IpEndpoint) -> Option<Flow> {
        let count = u64::from(EPHEMERAL.end() - EPHEMERAL.start()) + 1;
        let first = self.random.next() % count;
        (0..count).find_map(|step| {
            let port = *EPHEMERAL.start() + ((first + step) % count) as u16;
            let flow = Flow { local: IpEndpoint::new(source, port), remote };
            let is_free = !self.listeners.contains(port)
                && self.connections.find(&flow).is_none()
                && !self.time_wait.contains(&flow);
            is_free.then_some(flow)
        })
    }
}
