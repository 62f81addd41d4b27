//! The traits of `embedded-io-async`, by which protocol crates use a stream.

use embedded_io_async::{ErrorType, Read, ReadReady, Write, WriteReady};

use super::Stream;
use crate::net::{Duplex, Error};

impl ErrorType for Stream {
    type Error = Error;
}

impl Read for Stream {
    async fn read(&mut self, buffer: &mut [u8]) -> Result<usize, Error> {
        Self::read(self, buffer).await
    }
}

impl ReadReady for Stream {
    fn read_ready(&mut self) -> Result<bool, Error> {
        Ok(self.is_readable())
    }
}

impl Write for Stream {
    async fn write(&mut self, data: &[u8]) -> Result<usize, Error> {
        Self::write(self, data).await
    }

    /// Does not wait: what was written is sent without further ado. Use
    /// [`Stream::flush`](Stream::flush) to wait until the peer has it.
    async fn flush(&mut self) -> Result<(), Error> {
        self.check()
    }
}

impl WriteReady for Stream {
    fn write_ready(&mut self) -> Result<bool, Error> {
        Ok(self.is_writable())
    }
}
