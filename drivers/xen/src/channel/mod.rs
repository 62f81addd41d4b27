//! Consoles beside the first, which xl calls channels (docs/misc/channel.txt and
//! xen/include/public/io/console.h in Xen).
//!
//! Each has a directory `device/console/N`, with the name that the guest's configuration gives it,
//! and connects as other devices do. Its ring is that of the first console, on a page of the guest's
//! own that the back end is granted.

mod connect;
mod error;

#[cfg(test)]
mod tests;

use core::{
    fmt,
    future::poll_fn,
    task::{Context, Poll},
};

use embedded_io_async::{ErrorType, Read, Write};
use mayfly_device::DeviceError;

pub use self::{connect::open, error::ChannelError};
use crate::{
    breaks::Breaks,
    bus::Session,
    byte_ring::{BadIndex, Consumer, Producer},
    event_channel::EventChannel,
    grants::Grant,
    shared_page::HeapPage,
};

/// Where things are on the page: as in [`console`](crate::console).
const OUTPUT: usize = 0x400;
const INDICES: usize = 0xc00;

/// A console beside the first: a stream of bytes in each direction.
///
/// What was written is in the ring, or with the back end; whether somebody reads it there is not
/// known. When the back end goes and comes back, what was in the ring is lost.
pub struct Channel {
    session: Session<Connection>,
    breaks: Breaks,
}

/// What it uses while its back end is there.
pub(crate) struct Connection {
    page: Grant<HeapPage>,
    channel: EventChannel,
    /// How many bytes were read and written: this side's own copies of its indices.
    read: u32,
    written: u32,
}

impl Connection {
    /// The ring that is read, and that which is written.
    fn rings(&self) -> (Consumer<'_>, Producer<'_>) {
        let (input, rest) = self.page.page().bytes().split_at(OUTPUT);
        let output = rest.split_at(INDICES - OUTPUT).0;
        let [in_consumer, in_producer, out_consumer, out_producer] = self.indices();
        let input = Consumer::at(input, in_consumer, in_producer, self.read);
        (input, Producer::at(output, out_consumer, out_producer, self.written))
    }

    fn indices(&self) -> [&core::sync::atomic::AtomicU32; 4] {
        let words = self.page.page().words();
        [0, 1, 2, 3].map(|index| &words[INDICES / 4 + index])
    }

    /// Reads what there is, and lets the other side know that there is room.
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize, BadIndex> {
        let (mut input, _) = self.rings();
        let count = input.read(buffer)?;
        self.read = input.next();
        self.tell_of(count);
        Ok(count)
    }

    /// Writes what there is room for, and lets the other side know.
    fn write(&mut self, bytes: &[u8]) -> Result<usize, BadIndex> {
        let (_, mut output) = self.rings();
        let count = output.write(bytes)?;
        self.written = output.next();
        self.tell_of(count);
        Ok(count)
    }

    /// Whether the other side has taken all that was written.
    fn is_flushed(&self) -> Result<bool, BadIndex> {
        Ok(self.rings().1.room()? == INDICES - OUTPUT)
    }

    fn tell_of(&self, count: usize) {
        if count > 0 {
            self.channel.notify();
        }
    }
}

impl Channel {
    /// Does something with the connection until it has come to something. While there is none, it
    /// waits.
    fn poll<T>(
        &mut self,
        cx: &mut Context<'_>,
        attempt: impl FnOnce(&mut Connection) -> Result<Option<T>, BadIndex>,
    ) -> Poll<Result<T, ChannelError>> {
        if self.breaks.is_due(cx) {
            return Poll::Pending;
        }
        self.session.watch(cx);
        if self.session.has_news() {
            self.session.accept();
        }
        match self.session.connection().map(attempt) {
            Some(Ok(Some(result))) => return Poll::Ready(Ok(result)),
            Some(Err(BadIndex)) => self.session.fail("console"),
            Some(Ok(None)) | None => {}
        }
        match self.session.error() {
            Some(DeviceError::Protocol) => Poll::Ready(Err(ChannelError::Protocol)),
            Some(_) => Poll::Ready(Err(ChannelError::Gone)),
            None => Poll::Pending,
        }
    }

    /// Reads as many bytes as there are, at least one, into `buffer`, and returns how many that were.
    ///
    /// # Errors
    /// [`ChannelError::Gone`] if the channel was removed, [`ChannelError::Protocol`] if the other side
    /// broke the protocol.
    pub async fn read(&mut self, buffer: &mut [u8]) -> Result<usize, ChannelError> {
        poll_fn(|cx| self.poll_read(cx, buffer)).await
    }

    /// As [`read`](Self::read), for one task at a time.
    ///
    /// # Errors
    /// As there.
    pub fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<Result<usize, ChannelError>> {
        if buffer.is_empty() {
            return Poll::Ready(Ok(0));
        }
        self.poll(cx, |connection| Ok(Some(connection.read(buffer)?).filter(|&count| count > 0)))
    }

    /// Writes as many bytes of `data` as there is room for, at least one, and returns how many that
    /// were.
    ///
    /// # Errors
    /// As of [`read`](Self::read).
    pub async fn write(&mut self, data: &[u8]) -> Result<usize, ChannelError> {
        poll_fn(|cx| self.poll_write(cx, data)).await
    }

    /// As [`write`](Self::write), for one task at a time.
    ///
    /// # Errors
    /// As there.
    pub fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        data: &[u8],
    ) -> Poll<Result<usize, ChannelError>> {
        if data.is_empty() {
            return Poll::Ready(Ok(0));
        }
        self.poll(cx, |connection| Ok(Some(connection.write(data)?).filter(|&count| count > 0)))
    }

    /// Writes all of `data`.
    ///
    /// # Errors
    /// As of [`read`](Self::read).
    pub async fn write_all(&mut self, mut data: &[u8]) -> Result<(), ChannelError> {
        while !data.is_empty() {
            let written = self.write(data).await?;
            data = data.get(written..).unwrap_or_default();
        }
        Ok(())
    }

    /// Waits until the back end has taken all that was written.
    ///
    /// # Errors
    /// As of [`read`](Self::read).
    pub async fn flush(&mut self) -> Result<(), ChannelError> {
        let is_flushed = |connection: &mut Connection| Ok(connection.is_flushed()?.then_some(()));
        poll_fn(|cx| self.poll(cx, is_flushed)).await
    }
}

impl ErrorType for Channel {
    type Error = ChannelError;
}

impl Read for Channel {
    async fn read(&mut self, buffer: &mut [u8]) -> Result<usize, ChannelError> {
        self.read(buffer).await
    }
}

impl Write for Channel {
    async fn write(&mut self, data: &[u8]) -> Result<usize, ChannelError> {
        self.write(data).await
    }

    async fn flush(&mut self) -> Result<(), ChannelError> {
        self.flush().await
    }
}

impl fmt::Debug for Channel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Channel").finish_non_exhaustive()
    }
}
