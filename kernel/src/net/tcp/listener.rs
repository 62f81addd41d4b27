//! Ports that accept connections.

use core::{
    future::poll_fn,
    net::SocketAddr,
    task::{Context, Poll},
};

use super::{Listener, TcpOptions, TcpStream, connection::Owner};
use crate::net::{Error, Network, flow_map::Id, stack::Stack};

/// Connections that may wait to be accepted, unless `bind_with` says otherwise.
const DEFAULT_BACKLOG: usize = 128;

/// A port that accepts TCP connections, on all addresses of a network.
///
/// Requests beyond the backlog are not refused: the client asks again a second later. Dropping the
/// listener resets the connections that were not accepted.
#[derive(Debug)]
pub struct TcpListener {
    network: Network,
    port: u16,
}

impl TcpListener {
    /// Listens on `port`, with a backlog of 128 and default buffers.
    ///
    /// # Errors
    /// [`Error::AddressInUse`]; [`Error::InvalidAddress`] if `port` is 0.
    pub async fn bind(network: &Network, port: u16) -> Result<Self, Error> {
        Self::bind_with(network, port, DEFAULT_BACKLOG, TcpOptions::default()).await
    }

    /// Listens on `port`. At most `backlog` connections wait to be accepted or are half open;
    /// those accepted have buffers as `options` say.
    ///
    /// # Errors
    /// As [`bind`](Self::bind).
    pub async fn bind_with(
        network: &Network,
        port: u16,
        backlog: usize,
        options: TcpOptions,
    ) -> Result<Self, Error> {
        network.with(|stack| stack.listen(port, backlog, options))?;
        Ok(Self { network: network.clone(), port })
    }

    /// The port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Waits for the next connection. Returns it and the address of the peer.
    ///
    /// # Errors
    /// [`Error::DeviceGone`].
    pub async fn accept(&mut self) -> Result<(TcpStream, SocketAddr), Error> {
        poll_fn(|cx| self.poll_accept(cx)).await
    }

    /// As [`accept`](Self::accept), for hand-written futures.
    pub fn poll_accept(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(TcpStream, SocketAddr), Error>> {
        let accepted = self.network.with(|stack| stack.poll_accept(self.port, cx));
        accepted.map_ok(|(id, peer)| (TcpStream::new(self.network.clone(), id), peer))
    }
}

impl Drop for TcpListener {
    fn drop(&mut self) {
        self.network.with(|stack| stack.stop_listening(self.port));
    }
}

impl Stack {
    fn listen(&mut self, port: u16, backlog: usize, options: TcpOptions) -> Result<(), Error> {
        if port == 0 {
            return Err(Error::InvalidAddress);
        }
        if self.listeners.contains(port) {
            return Err(Error::AddressInUse);
        }
        let listener = Listener::new(backlog, options);
        self.listeners.insert(port, listener).map_err(|_| Error::OutOfMemory)
    }

    fn poll_accept(
        &mut self,
        port: u16,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(Id, SocketAddr), Error>> {
        if self.is_dead {
            return Poll::Ready(Err(Error::DeviceGone));
        }
        let Some(listener) = self.listeners.get_mut(port) else {
            return Poll::Ready(Err(Error::Closed));
        };
        if let Some(id) = listener.ready.pop_front()
            && let Some(flow) = self.connections.flow(id)
            && let Some(connection) = self.connections.get_mut(id)
        {
            let owner = core::mem::replace(&mut connection.owner, Owner::Stream);
            self.update_clock();
            self.disown(id, owner);
            self.wake_runner();
            return Poll::Ready(Ok((id, flow.remote.into())));
        }
        listener.waker.register(cx.waker());
        crate::executor::describe(crate::executor::Awaiting::new(
            "a connection to TCP port {}",
            port.into(),
        ));
        Poll::Pending
    }

    fn stop_listening(&mut self, port: u16) {
        self.listeners.remove(port);
        self.for_each_connection(|stack, id| {
            match stack.connections.get(id).map(|connection| connection.owner) {
                Some(Owner::HalfOpen(of)) if of == port => stack.discard(id),
                Some(Owner::Ready(of)) if of == port => stack.abandon(id, true),
                _ => {}
            }
        });
    }
}
