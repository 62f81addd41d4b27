//! The two directions of a stream, for two tasks.

use alloc::rc::Rc;
use core::future::poll_fn;

use super::Stream;
use crate::net::Error;

/// The half of a stream that reads. The stream is closed when both halves are dropped.
#[derive(Debug)]
pub struct StreamReadHalf(pub(super) Rc<Stream>);

/// The half of a stream that writes. Dropping it is a
/// [`shutdown_write`](Stream::shutdown_write); the stream is closed when both halves are dropped.
#[derive(Debug)]
pub struct StreamWriteHalf(pub(super) Rc<Stream>);

impl Stream {
    /// Takes the stream apart, so that one task can read and another one write.
    pub fn split(self) -> (StreamReadHalf, StreamWriteHalf) {
        let stream = Rc::new(self);
        (StreamReadHalf(Rc::clone(&stream)), StreamWriteHalf(stream))
    }
}

impl StreamReadHalf {
    /// See [`Stream::read`].
    ///
    /// # Errors
    /// As there.
    pub async fn read(&mut self, buffer: &mut [u8]) -> Result<usize, Error> {
        poll_fn(|cx| self.0.poll_read(cx, buffer)).await
    }
}

impl StreamWriteHalf {
    /// See [`Stream::write`].
    ///
    /// # Errors
    /// As there.
    pub async fn write(&mut self, data: &[u8]) -> Result<usize, Error> {
        poll_fn(|cx| self.0.poll_write(cx, data)).await
    }

    /// See [`Stream::write_all`].
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

    /// See [`Stream::flush`].
    ///
    /// # Errors
    /// As there.
    pub async fn flush(&mut self) -> Result<(), Error> {
        poll_fn(|cx| self.0.poll_flush(cx)).await
    }

    /// See [`Stream::shutdown_write`].
    pub fn shutdown(&mut self) {
        self.0.close_write();
    }
}

impl Drop for StreamWriteHalf {
    fn drop(&mut self) {
        self.0.close_write();
    }
}
