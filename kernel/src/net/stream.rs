//! Streams, whatever they go through.

mod io;

use alloc::boxed::Box;
use core::{
    cell::Cell,
    fmt,
    future::poll_fn,
    task::{Context, Poll},
};

use super::{
    Error, TcpStream,
    halves::{Duplex, ReadHalf, WriteHalf, split},
};
use crate::executor::{Awaiting, describe};

/// A stream of bytes in each direction that is no TCP connection.
pub(crate) trait Channel: fmt::Debug {
    /// Reads at least one byte; 0 at the end.
    fn poll_read(&self, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<Result<usize, Error>>;
    /// Writes at least one byte.
    fn poll_write(&self, cx: &mut Context<'_>, data: &[u8]) -> Poll<Result<usize, Error>>;
    /// Ready when the other side has got all that was written.
    fn poll_flush(&self, cx: &mut Context<'_>) -> Poll<Result<(), Error>>;
    /// Whether something can be read at once, or the end or an error.
    fn is_readable(&self) -> bool;
    /// Whether something can be written at once, or that is an error.
    fn is_writable(&self) -> bool;
    /// Fails if it has ended by itself.
    fn check(&self) -> Result<(), Error>;
}

/// A connection with a host, as [`Network::connect`](super::Network::connect) makes it: by TCP, or to
/// another domain of the same Xen.
///
/// Both have the traits of `embedded-io-async`. With another domain, there is no way to say that one
/// direction is at its end and to go on with the other: see [`shutdown_write`](Self::shutdown_write).
/// Dropped, the stream is closed, and what was written is still read.
#[derive(Debug)]
pub struct Stream(Kind);

#[derive(Debug)]
enum Kind {
    Tcp(TcpStream),
    Channel {
        channel: Box<dyn Channel>,
        /// Nothing more will be written, which the other side does not know.
        is_write_closed: Cell<bool>,
    },
}

impl From<TcpStream> for Stream {
    fn from(stream: TcpStream) -> Self {
        Self(Kind::Tcp(stream))
    }
}

impl From<Box<dyn Channel>> for Stream {
    fn from(channel: Box<dyn Channel>) -> Self {
        Self(Kind::Channel { channel, is_write_closed: Cell::new(false) })
    }
}

impl Stream {
    /// The TCP connection, if it is one: for its addresses and settings.
    pub fn tcp(&mut self) -> Option<&mut TcpStream> {
        match &mut self.0 {
            Kind::Tcp(stream) => Some(stream),
            Kind::Channel { .. } => None,
        }
    }

    /// Reads what is there, at most `buffer.len()` bytes, or waits until there is something. Returns
    /// 0 when the peer has closed, or if `buffer` is empty.
    ///
    /// # Errors
    /// As of [`TcpStream::read`]; [`Error::Reset`] if the other domain is gone.
    pub async fn read(&mut self, buffer: &mut [u8]) -> Result<usize, Error> {
        poll_fn(|cx| self.poll_read(cx, buffer)).await
    }

    /// As [`read`](Self::read), for hand-written futures.
    pub fn poll_read(&self, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<Result<usize, Error>> {
        match &self.0 {
            Kind::Tcp(stream) => stream.poll_read(cx, buffer),
            Kind::Channel { channel, .. } => waiting(channel.poll_read(cx, buffer)),
        }
    }

    /// Writes the start of `data`, as much as fits, or waits until something fits. Returns how much
    /// that was. It is sent soon.
    ///
    /// # Errors
    /// As of [`TcpStream::write`]; [`Error::Reset`] if the other domain has closed, or is gone.
    pub async fn write(&mut self, data: &[u8]) -> Result<usize, Error> {
        poll_fn(|cx| self.poll_write(cx, data)).await
    }

    /// As [`write`](Self::write), for hand-written futures.
    pub fn poll_write(&self, cx: &mut Context<'_>, data: &[u8]) -> Poll<Result<usize, Error>> {
        match &self.0 {
            Kind::Tcp(stream) => stream.poll_write(cx, data),
            Kind::Channel { is_write_closed, .. } if is_write_closed.get() => {
                Poll::Ready(Err(Error::Closed))
            }
            Kind::Channel { channel, .. } => waiting(channel.poll_write(cx, data)),
        }
    }

    /// Writes all of `data`.
    ///
    /// # Errors
    /// As of [`write`](Self::write).
    pub async fn write_all(&mut self, mut data: &[u8]) -> Result<(), Error> {
        while !data.is_empty() {
            let written = self.write(data).await?;
            data = data.get(written..).unwrap_or_default();
        }
        Ok(())
    }

    /// Waits until the peer has acknowledged all that was written; in another domain, until it has
    /// read all.
    ///
    /// # Errors
    /// As of [`write`](Self::write).
    pub async fn flush(&mut self) -> Result<(), Error> {
        poll_fn(|cx| self.poll_flush(cx)).await
    }

    /// As [`flush`](Self::flush), for hand-written futures.
    pub fn poll_flush(&self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        match &self.0 {
            Kind::Tcp(stream) => stream.poll_flush(cx),
            Kind::Channel { channel, .. } => waiting(channel.poll_flush(cx)),
        }
    }

    /// Says that nothing more will be written, after what has been; this side can still read. By TCP,
    /// the peer reads to the end. Another domain is told nothing before the stream is closed, as there
    /// is no way to do so: a protocol says itself when it is done, as HTTP does.
    pub fn shutdown_write(&mut self) {
        self.close_write();
    }

    /// Takes the stream apart, so that one task can read and another one write.
    pub fn split(self) -> (ReadHalf<Self>, WriteHalf<Self>) {
        split(self)
    }

    /// Closes the stream: waits until the peer has got all that was written.
    ///
    /// # Errors
    /// As of [`flush`](Self::flush).
    pub async fn close(mut self) -> Result<(), Error> {
        self.shutdown_write();
        self.flush().await
    }
}

impl Duplex for Stream {
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
        match &self.0 {
            Kind::Tcp(stream) => stream.close_write(),
            Kind::Channel { is_write_closed, .. } => is_write_closed.set(true),
        }
    }

    fn is_readable(&self) -> bool {
        match &self.0 {
            Kind::Tcp(stream) => stream.is_readable(),
            Kind::Channel { channel, .. } => channel.is_readable(),
        }
    }

    fn is_writable(&self) -> bool {
        match &self.0 {
            Kind::Tcp(stream) => stream.is_writable(),
            Kind::Channel { channel, is_write_closed } => {
                is_write_closed.get() || channel.is_writable()
            }
        }
    }

    fn check(&self) -> Result<(), Error> {
        match &self.0 {
            Kind::Tcp(stream) => stream.check(),
            Kind::Channel { channel, .. } => channel.check(),
        }
    }
}

/// Notes what the running task waits for, if it has to.
fn waiting<T>(poll: Poll<T>) -> Poll<T> {
    if poll.is_pending() {
        describe(Awaiting::new("another domain", 0));
    }
    poll
}
