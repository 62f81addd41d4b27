//! The two directions of a connection, for two tasks.

use alloc::rc::Rc;
use core::{future::poll_fn, net::SocketAddr};

use super::TcpStream;
use crate::net::Error;

/// The half of a connection that reads. The connection is closed when both halves are dropped.
#[derive(Debug)]
pub struct OwnedReadHalf(Rc<TcpStream>);

/// The half of a connection that writes. Dropping it tells the peer that nothing more comes; the
/// connection is closed when both halves are dropped.
#[derive(Debug)]
pub struct OwnedWriteHalf(Rc<TcpStream>);

impl TcpStream {
    /// Takes the connection apart, so that one task can read and another one write.
    pub fn split(self) -> (OwnedReadHalf, OwnedWriteHalf) {
        let stream = Rc::new(self);
        (OwnedReadHalf(Rc::clone(&stream)), OwnedWriteHalf(stream))
    }
}

impl OwnedReadHalf {
    /// See [`TcpStream::read`].
    ///
    /// # Errors
    /// As there.
    pub async fn read(&mut self, buffer: &mut [u8]) -> Result<usize, Error> {
        poll_fn(|cx| self.0.poll_read(cx, buffer)).await
    }

    /// The address of the peer, unless the connection is gone.
    pub fn peer(&self) -> Option<SocketAddr> {
        self.0.peer()
    }

    pub(super) fn stream(&self) -> &TcpStream {
        &self.0
    }
}

impl OwnedWriteHalf {
    /// See [`TcpStream::write`].
    ///
    /// # Errors
    /// As there.
    pub async fn write(&mut self, data: &[u8]) -> Result<usize, Error> {
        poll_fn(|cx| self.0.poll_write(cx, data)).await
    }

    /// See [`TcpStream::write_all`].
    ///
    /// # Errors
    /// As there.
    pub async fn write_all(&mut self, mut data: &[u8]) -> Result<(), Error> {
        while !data.is_empty() {
            let written = self.write(data).await?;
            data = data.get(written..).unwrap_or_default();
        }
        Ok(())
    }

    /// See [`TcpStream::flush`].
    ///
    /// # Errors
    /// As there.
    pub async fn flush(&mut self) -> Result<(), Error> {
        poll_fn(|cx| self.0.poll_flush(cx)).await
    }

    /// See [`TcpStream::shutdown_write`].
    pub fn shutdown(&mut self) {
        self.0.close_write();
    }

    pub(super) fn stream(&self) -> &TcpStream {
        &self.0
    }
}

impl Drop for OwnedWriteHalf {
    fn drop(&mut self) {
        self.0.close_write();
    }
}
