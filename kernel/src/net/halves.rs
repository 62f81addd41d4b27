//! The two directions of a stream, for two tasks.

mod io;

use alloc::rc::Rc;
use core::{
    future::poll_fn,
    net::SocketAddr,
    task::{Context, Poll},
};

use super::{Error, TcpStream};

/// What a [`TcpStream`] and a [`Stream`](super::Stream) have alike: a stream of bytes in each
/// direction, used by reference, so that a task can have each. The methods are for hand-written
/// futures; a stream and its halves have the same as `async fn`.
pub trait Duplex {
    /// Reads at least one byte; 0 at the end.
    fn poll_read(&self, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<Result<usize, Error>>;
    /// Writes at least one byte.
    fn poll_write(&self, cx: &mut Context<'_>, data: &[u8]) -> Poll<Result<usize, Error>>;
    /// Ready when the peer has got all that was written.
    fn poll_flush(&self, cx: &mut Context<'_>) -> Poll<Result<(), Error>>;
    /// Nothing more will be written.
    fn close_write(&self);
    /// Whether a read returns at once.
    fn is_readable(&self) -> bool;
    /// Whether there is room to write, or writing fails at once. A writer may still have to wait, once,
    /// while its buffers are made larger.
    fn is_writable(&self) -> bool;
    /// Fails if the stream has ended by itself.
    fn check(&self) -> Result<(), Error>;
}

/// The half of a stream that reads, of a [`TcpStream`] or a [`Stream`](super::Stream). The stream is
/// closed when both halves are dropped.
#[derive(Debug)]
pub struct ReadHalf<S>(Rc<S>);

/// The half of a stream that writes. Dropping it tells the peer that nothing more comes, as
/// [`shutdown`](Self::shutdown) does; the stream is closed when both halves are dropped.
#[derive(Debug)]
pub struct WriteHalf<S: Duplex>(Rc<S>);

pub(super) fn split<S: Duplex>(stream: S) -> (ReadHalf<S>, WriteHalf<S>) {
    let stream = Rc::new(stream);
    (ReadHalf(Rc::clone(&stream)), WriteHalf(stream))
}

impl<S: Duplex> ReadHalf<S> {
    /// As `read` of the stream.
    ///
    /// # Errors
    /// As there.
    pub async fn read(&mut self, buffer: &mut [u8]) -> Result<usize, Error> {
        poll_fn(|cx| self.0.poll_read(cx, buffer)).await
    }
}

impl ReadHalf<TcpStream> {
    /// The address of the peer, unless the connection is gone.
    pub fn peer(&self) -> Option<SocketAddr> {
        self.0.peer()
    }
}

impl<S: Duplex> WriteHalf<S> {
    /// As `write` of the stream.
    ///
    /// # Errors
    /// As there.
    pub async fn write(&mut self, data: &[u8]) -> Result<usize, Error> {
        poll_fn(|cx| self.0.poll_write(cx, data)).await
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

    /// As `flush` of the stream: waits until the peer has got all that was written.
    ///
    /// # Errors
    /// As there.
    pub async fn flush(&mut self) -> Result<(), Error> {
        poll_fn(|cx| self.0.poll_flush(cx)).await
    }

    /// As `shutdown_write` of the stream: nothing more will be written.
    pub fn shutdown(&mut self) {
        self.0.close_write();
    }
}

impl<S: Duplex> Drop for WriteHalf<S> {
    fn drop(&mut self) {
        self.0.close_write();
    }
}
