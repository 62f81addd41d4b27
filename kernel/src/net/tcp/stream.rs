//! Connections that exist, as apps see them.

use core::{
    future::poll_fn,
    net::SocketAddr,
    task::{Context, Poll},
    time::Duration,
};

use smoltcp::socket::tcp::{RecvError, Socket, SocketBuffer, State};

use super::connection::{Connection, Settings};
use crate::net::{Duplex, Error, Network, ReadHalf, WriteHalf, flow_map::Id, halves::split};

/// A TCP connection.
///
/// Dropping it closes it gracefully in the background: what was written is still sent, for at
/// most a minute, and then its memory is returned.
#[derive(Debug)]
pub struct TcpStream {
    network: Network,
    id: Id,
}

impl TcpStream {
    pub(super) fn new(network: Network, id: Id) -> Self {
        Self { network, id }
    }

    /// Reads what is there, at most `buffer.len()` bytes, or waits until there is something.
    /// Returns 0 when the peer has closed its half, or if `buffer` is empty.
    ///
    /// # Errors
    /// [`Error::Reset`], [`Error::TimedOut`], [`Error::Closed`].
    pub async fn read(&mut self, buffer: &mut [u8]) -> Result<usize, Error> {
        poll_fn(|cx| self.poll_read(cx, buffer)).await
    }

    /// As [`read`](Self::read), for hand-written futures.
    pub fn poll_read(&self, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<Result<usize, Error>> {
        if buffer.is_empty() {
            return Poll::Ready(Ok(0));
        }
        self.poll_receive(cx, |socket| socket.recv_slice(buffer))
    }

    /// Hands what is there to `look`, without a copy, or waits until there is something. `look`
    /// returns how many bytes it has used, and a result. At the end of the stream it gets nothing.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    ///
    /// # Panics
    /// If `look` claims to have used more than it got.
    pub async fn read_with<R>(
        &mut self,
        mut look: impl FnMut(&[u8]) -> (usize, R),
    ) -> Result<R, Error> {
        let mut result = None;
        let end = poll_fn(|cx| {
            self.poll_receive(cx, |socket| {
                if !socket.can_recv() {
                    // Tells the end of the stream from a break.
                    return socket.recv(|_| (0, 0));
                }
                socket.recv(|bytes| {
                    let (used, value) = look(bytes);
                    result = Some(value);
                    (used, bytes.len())
                })
            })
        });
        end.await?;
        Ok(result.unwrap_or_else(|| look(&[]).1))
    }

    fn poll_receive(
        &self,
        cx: &mut Context<'_>,
        receive: impl FnOnce(&mut Socket<'static>) -> Result<usize, RecvError>,
    ) -> Poll<Result<usize, Error>> {
        self.network.with(|stack| {
            let Some(connection) = stack.connections.get_mut(self.id) else {
                return Poll::Ready(Err(Error::Closed));
            };
            let error = connection.error;
            let is_complete = connection.progress.end_of_input().is_some() && error.is_none();
            let socket = connection.socket();
            let queued = socket.recv_queue();
            match receive(socket) {
                Ok(0) => {
                    socket.register_recv_waker(cx.waker());
                    wait("data from TCP port {}", socket);
                    Poll::Pending
                }
                Ok(length) => {
                    let is_notable = queued * 2 >= socket.recv_capacity();
                    if queued >= connection.segment {
                        connection.note_read(queued, length);
                    }
                    let is_pressed = connection.is_pressed();
                    // The window opens notably: the peer should hear of that.
                    if is_notable {
                        stack.line_up_to_send(self.id);
                        stack.wake_runner();
                    }
                    if is_pressed {
                        stack.grow(self.id);
                    }
                    Poll::Ready(Ok(length))
                }
                Err(RecvError::Finished) => Poll::Ready(Ok(0)),
                // smoltcp forgets that it got the end when the connection is over.
                Err(RecvError::InvalidState) if is_complete => Poll::Ready(Ok(0)),
                Err(RecvError::InvalidState) => Poll::Ready(Err(error.unwrap_or(Error::Closed))),
            }
        })
    }

    /// Writes the start of `data`, as much as fits, or waits until something fits. Returns how much
    /// that was. It is sent soon.
    ///
    /// # Errors
    /// [`Error::Reset`], [`Error::TimedOut`]; [`Error::Closed`] after `shutdown_write`.
    pub async fn write(&mut self, data: &[u8]) -> Result<usize, Error> {
        poll_fn(|cx| self.poll_write(cx, data)).await
    }

    /// Writes all of `data`.
    ///
    /// # Errors
    /// As [`write`](Self::write).
    pub async fn write_all(&mut self, mut data: &[u8]) -> Result<(), Error> {
        while !data.is_empty() {
            let written = self.write(data).await?;
            data = data.get(written..).unwrap_or_default();
        }
        Ok(())
    }

    /// As [`write`](Self::write), for hand-written futures.
    pub fn poll_write(&self, cx: &mut Context<'_>, data: &[u8]) -> Poll<Result<usize, Error>> {
        if data.is_empty() {
            return Poll::Ready(Ok(0));
        }
        self.poll_send(cx, data.len(), |socket| socket.send_slice(data).map_err(|_| ()))
    }

    /// Lets `fill` write into the send buffer itself, or waits until there is room. `fill` returns
    /// how many bytes it has written, and a result.
    ///
    /// # Errors
    /// As [`write`](Self::write).
    ///
    /// # Panics
    /// If `fill` claims to have written more than there was room for.
    pub async fn write_with<R>(
        &mut self,
        mut fill: impl FnMut(&mut [u8]) -> (usize, R),
    ) -> Result<R, Error> {
        let mut result = None;
        let room = poll_fn(|cx| {
            self.poll_send(cx, 0, |socket| {
                if !socket.may_send() {
                    return Err(());
                }
                if !socket.can_send() {
                    return Ok(0);
                }
                let send = socket.send(|bytes| {
                    let (used, value) = fill(bytes);
                    result = Some(value);
                    (used, used.max(1))
                });
                send.map_err(|_| ())
            })
        });
        room.await?;
        result.ok_or(Error::Closed)
    }

    fn poll_send(
        &self,
        cx: &mut Context<'_>,
        wanted: usize,
        send: impl FnOnce(&mut Socket<'static>) -> Result<usize, ()>,
    ) -> Poll<Result<usize, Error>> {
        self.network.with(|stack| {
            let is_pressed = stack.connections.get(self.id).is_some_and(Connection::is_pressed);
            let may_write = !is_pressed || stack.grow(self.id);
            let Some(connection) = stack.connections.get_mut(self.id) else {
                return Poll::Ready(Err(Error::Closed));
            };
            let error = connection.error;
            if connection.is_write_closed {
                return Poll::Ready(Err(error.unwrap_or(Error::Closed)));
            }
            let socket = connection.socket();
            let written = if may_write { send(socket) } else { Ok(0) };
            match written {
                Ok(0) => {
                    socket.register_send_waker(cx.waker());
                    wait("room to send to TCP port {}", socket);
                    if may_write {
                        let capacity = socket.send_capacity();
                        connection.note_full(wanted.max(capacity / 2));
                    }
                    Poll::Pending
                }
                Ok(length) => {
                    stack.line_up_to_send(self.id);
                    stack.wake_runner();
                    Poll::Ready(Ok(length))
                }
                Err(()) => Poll::Ready(Err(error.unwrap_or(Error::Closed))),
            }
        })
    }

    /// Waits until the peer has acknowledged all that was written.
    ///
    /// # Errors
    /// [`Error::Reset`], [`Error::TimedOut`].
    pub async fn flush(&mut self) -> Result<(), Error> {
        poll_fn(|cx| self.poll_flush(cx)).await
    }

    /// As [`flush`](Self::flush), for hand-written futures.
    pub fn poll_flush(&self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.network.with(|stack| {
            let Some(connection) = stack.connections.get_mut(self.id) else {
                return Poll::Ready(Err(Error::Closed));
            };
            let (error, is_closed) = (connection.error, connection.is_write_closed);
            let socket = connection.socket();
            let is_sent = socket.send_queue() == 0;
            match error {
                // What comes after the last byte was acknowledged does not matter any more.
                Some(error) if !(is_sent && is_closed) => Poll::Ready(Err(error)),
                _ if is_sent || socket.state() == State::Closed => Poll::Ready(Ok(())),
                _ => {
                    socket.register_send_waker(cx.waker());
                    wait("the acknowledgement of TCP port {}", socket);
                    Poll::Pending
                }
            }
        })
    }

    /// Says that nothing more will be written, after what has been. The peer reads to the end;
    /// this side can still read.
    pub fn shutdown_write(&mut self) {
        self.close_write();
    }

    /// Takes the connection apart, so that one task can read and another one write.
    pub fn split(self) -> (ReadHalf<Self>, WriteHalf<Self>) {
        split(self)
    }

    /// Closes the connection: waits until the peer has acknowledged all that was written.
    ///
    /// # Errors
    /// As [`flush`](Self::flush).
    pub async fn close(mut self) -> Result<(), Error> {
        self.shutdown_write();
        self.flush().await
    }

    /// Breaks the connection off: the peer gets a reset, what was written may be lost.
    pub fn abort(self) {
        self.network.with(|stack| stack.abandon(self.id, true));
    }

    /// The address of the peer, unless the connection is gone.
    pub fn peer(&self) -> Option<SocketAddr> {
        self.with(|socket, _| socket.remote_endpoint().map(Into::into))
    }

    /// The own address, unless the connection is gone.
    pub fn local(&self) -> Option<SocketAddr> {
        self.with(|socket, _| socket.local_endpoint().map(Into::into))
    }

    /// Asks the peer for a sign of life after each `interval` without any; `None` does not. A peer
    /// that does not answer is given up if [`set_timeout`](Self::set_timeout) says so.
    pub fn set_keep_alive(&mut self, interval: Option<Duration>) {
        self.set(|settings| settings.keep_alive = interval.map(Into::into));
    }

    /// Ends the connection when nothing has come from the peer for `limit`; `None` waits for ever.
    /// Without keep-alive, a peer that has nothing to say is ended too.
    pub fn set_timeout(&mut self, limit: Option<Duration>) {
        self.set(|settings| settings.timeout = limit.map(Into::into));
    }

    /// With `true`, sends small writes at once instead of waiting until the ones before are
    /// acknowledged (RFC 9293 section 3.7.4).
    pub fn set_nodelay(&mut self, nodelay: bool) {
        self.set(|settings| settings.nodelay = nodelay);
    }

    fn set(&self, change: impl FnOnce(&mut Settings)) {
        self.network.with(|stack| {
            if let Some(connection) = stack.connections.get_mut(self.id) {
                change(&mut connection.settings);
                connection.apply_settings();
            }
        });
        self.touch();
    }

    fn touch(&self) {
        self.network.with(|stack| {
            stack.line_up_to_send(self.id);
            stack.wake_runner();
        });
    }

    pub(super) fn with<R>(&self, look: impl FnOnce(&mut Socket<'static>, Option<Error>) -> R) -> R {
        self.network.with(|stack| match stack.connections.get_mut(self.id) {
            Some(connection) => {
                let error = connection.error;
                look(connection.socket(), error)
            }
            // Connections with a stream are only removed by the stream.
            None => look(&mut Socket::new(SocketBuffer::new([]), SocketBuffer::new([])), None),
        })
    }
}

impl Duplex for TcpStream {
    fn poll_read(&self, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<Result<usize, Error>> {
        Self::poll_read(self, cx, buffer)
    }

    fn poll_write(&self, cx: &mut Context<'_>, data: &[u8]) -> Poll<Result<usize, Error>> {
        Self::poll_write(self, cx, data)
    }

    fn poll_flush(&self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        Self::poll_flush(self, cx)
    }

    fn close_write(&self) {
        self.network.with(|stack| {
            if let Some(connection) = stack.connections.get_mut(self.id) {
                connection.is_write_closed = true;
                connection.close();
            }
        });
        self.touch();
    }

    fn is_readable(&self) -> bool {
        self.with(|socket, _| socket.can_recv() || !socket.may_recv())
    }

    fn is_writable(&self) -> bool {
        self.network.with(|stack| {
            stack.connections.get_mut(self.id).is_none_or(|connection| {
                let is_closed = connection.is_write_closed;
                let socket = connection.socket();
                is_closed || socket.can_send() || !socket.may_send()
            })
        })
    }

    fn check(&self) -> Result<(), Error> {
        self.with(|_, error| error.map_or(Ok(()), Err))
    }
}

impl Drop for TcpStream {
    fn drop(&mut self) {
        self.network.with(|stack| stack.abandon(self.id, false));
    }
}

/// Notes what the running task waits for; `what` is about the peer's port.
pub(super) fn wait(what: &'static str, socket: &Socket<'_>) {
    let port = socket.remote_endpoint().map_or(0, |endpoint| endpoint.port);
    crate::executor::describe(crate::executor::Awaiting::new(what, port.into()));
}
