//! The traits of `embedded-io-async`, by which protocol crates use a half.

use embedded_io_async::{ErrorType, Read, ReadReady, Write, WriteReady};

use super::{Duplex, ReadHalf, WriteHalf};
use crate::net::Error;

impl<S> ErrorType for ReadHalf<S> {
    type Error = Error;
}

impl<S: Duplex> Read for ReadHalf<S> {
    async fn read(&mut self, buffer: &mut [u8]) -> Result<usize, Error> {
        Self::read(self, buffer).await
    }
}

impl<S: Duplex> ReadReady for ReadHalf<S> {
    fn read_ready(&mut self) -> Result<bool, Error> {
        Ok(self.0.is_readable())
    }
}

impl<S: Duplex> ErrorType for WriteHalf<S> {
    type Error = Error;
}

impl<S: Duplex> Write for WriteHalf<S> {
    async fn write(&mut self, data: &[u8]) -> Result<usize, Error> {
        Self::write(self, data).await
    }

    /// Does not wait: what was written is sent without further ado. Use
    /// [`WriteHalf::flush`](WriteHalf::flush) to wait until the peer has it.
    async fn flush(&mut self) -> Result<(), Error> {
        self.0.check()
    }
}

impl<S: Duplex> WriteReady for WriteHalf<S> {
    fn write_ready(&mut self) -> Result<bool, Error> {
        Ok(self.0.is_writable())
    }
}
