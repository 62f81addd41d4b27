//! The traits of `embedded-io-async`, by which protocol crates use a connection.

use embedded_io_async::{ErrorType, Read, ReadReady, Write, WriteReady};

use super::TcpStream;
use crate::net::{Duplex, Error};

impl ErrorType for TcpStream {
    type Error = Error;
}

impl Read for TcpStream {
    async fn read(&mut self, buffer: &mut [u8]) -> Result<usize, Error> {
        Self::read(self, buffer).await
    }
}

impl ReadReady for TcpStream {
    fn read_ready(&mut self) -> Result<bool, Error> {
        Ok(self.is_readable())
    }
}

impl Write for TcpStream {
    async fn write(&mut self, data: &[u8]) -> Result<usize, Error> {
        Self::write(self, data).await
    }

    /// Does not wait: what was written is sent without further ado. Use
    /// [`TcpStream::flush`](TcpStream::flush) to wait for its acknowledgement.
    async fn flush(&mut self) -> Result<(), Error> {
        self.check()
    }
}

impl WriteReady for TcpStream {
    fn write_ready(&mut self) -> Result<bool, Error> {
        Ok(self.is_writable())
    }
}
