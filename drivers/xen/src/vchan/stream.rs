//! A channel as a stream of bytes in each direction.

use alloc::{boxed::Box, rc::Rc};
use core::{
    any::Any,
    fmt,
    future::poll_fn,
    task::{Context, Poll},
};

use embedded_io_async::{ErrorType, Read, ReadReady, Write, WriteReady};

use super::{VchanError, end::End};
use crate::breaks::Breaks;

/// A connection with another domain: a stream of bytes in each direction.
///
/// Dropped, it is closed. The other side still gets what was written before; it can tell neither an
/// end that was closed from one that has crashed, nor is there a way to close one direction only, so
/// protocols on top say themselves when they are done.
pub struct Vchan {
    end: Rc<End>,
    breaks: Breaks,
}

impl Vchan {
    pub(super) fn new(end: End) -> Self {
        Self { end: Rc::new(end), breaks: Breaks::default() }
    }

    /// Takes the connection apart, so that one task can read and another one write. It is closed when
    /// both halves are dropped.
    pub fn split(self) -> (ReadHalf, WriteHalf) {
        (ReadHalf(Self { end: Rc::clone(&self.end), breaks: Breaks::default() }), WriteHalf(self))
    }

    /// Reads as many bytes as there are, at least one, into `buffer`, and returns how many that were;
    /// 0 when the other side has closed, or has crashed, and all it had written was read.
    ///
    /// # Errors
    /// [`VchanError::Gone`] if the other side's domain is no more, [`VchanError::Protocol`] if it
    /// broke the protocol.
    pub async fn read(&mut self, buffer: &mut [u8]) -> Result<usize, VchanError> {
        poll_fn(|cx| self.poll_read(cx, buffer)).await
    }

    /// As [`read`](Self::read), for one task at a time. Now and then it is pending although there is
    /// something, and the task is woken at once: others have their turns first.
    ///
    /// # Errors
    /// As there.
    pub fn poll_read(
        &self,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<Result<usize, VchanError>> {
        let end = &self.end;
        if buffer.is_empty() {
            return Poll::Ready(Ok(0));
        }
        if self.breaks.is_due(cx) {
            return Poll::Pending;
        }
        for has_asked in [false, true] {
            // Before what there is to be read: what was written before it closed counts.
            let is_open = end.is_open();
            match end.read(buffer) {
                Ok(0) => {}
                result => return Poll::Ready(result),
            }
            match is_open {
                Ok(true) if !has_asked => {
                    end.signals.readable.watch(cx);
                    end.ask(true);
                }
                Ok(true) => break,
                closed => return Poll::Ready(closed.map(|_| 0)),
            }
        }
        Poll::Pending
    }

    /// Writes as many bytes of `data` as there is room for, at least one, and returns how many that
    /// were.
    ///
    /// # Errors
    /// [`VchanError::Closed`] if the other side has closed, or has crashed; otherwise as of
    /// [`read`](Self::read).
    pub async fn write(&mut self, data: &[u8]) -> Result<usize, VchanError> {
        poll_fn(|cx| self.poll_write(cx, data)).await
    }

    /// As [`write`](Self::write), for one task at a time; with [`poll_read`](Self::poll_read)'s breaks.
    ///
    /// # Errors
    /// As there.
    pub fn poll_write(&self, cx: &mut Context<'_>, data: &[u8]) -> Poll<Result<usize, VchanError>> {
        let end = &self.end;
        if self.breaks.is_due(cx) {
            return Poll::Pending;
        }
        for has_asked in [false, true] {
            if !end.is_open()? {
                return Poll::Ready(Err(VchanError::Closed));
            }
            match end.write(data) {
                Ok(0) if !data.is_empty() => {}
                result => return Poll::Ready(result),
            }
            if !has_asked {
                end.signals.writable.watch(cx);
                end.ask(false);
            }
        }
        Poll::Pending
    }

    /// Writes all of `data`.
    ///
    /// # Errors
    /// As of [`write`](Self::write).
    pub async fn write_all(&mut self, mut data: &[u8]) -> Result<(), VchanError> {
        while !data.is_empty() {
            let written = self.write(data).await?;
            data = data.get(written..).unwrap_or_default();
        }
        Ok(())
    }

    /// Waits until the other side has read all that was written.
    ///
    /// # Errors
    /// As of [`write`](Self::write).
    pub async fn flush(&mut self) -> Result<(), VchanError> {
        poll_fn(|cx| self.poll_flush(cx)).await
    }

    /// As [`flush`](Self::flush), for one task at a time.
    ///
    /// # Errors
    /// As there.
    pub fn poll_flush(&self, cx: &mut Context<'_>) -> Poll<Result<(), VchanError>> {
        let end = &self.end;
        for has_asked in [false, true] {
            let is_open = end.is_open()?;
            if end.writable()? == end.output.size as usize {
                return Poll::Ready(Ok(()));
            }
            if !is_open {
                return Poll::Ready(Err(VchanError::Closed));
            }
            if !has_asked {
                end.signals.writable.watch(cx);
                end.ask(false);
            }
        }
        Poll::Pending
    }

    /// Whether the other side is there, as far as is known.
    pub fn is_open(&self) -> bool {
        self.end.is_open() == Ok(true)
    }

    /// Bytes that the ring holds which this side reads from, and that which it writes to.
    pub fn sizes(&self) -> (usize, usize) {
        (self.end.input.size as usize, self.end.output.size as usize)
    }

    /// Whether something can be read at once, or the end.
    ///
    /// # Errors
    /// As of [`read`](Self::read).
    pub fn is_readable(&self) -> Result<bool, VchanError> {
        let is_open = self.end.is_open()?;
        Ok((self.end.readable()? > 0 || !is_open) && !self.breaks.is_next())
    }

    /// Whether something can be written at once, or that is an error.
    ///
    /// # Errors
    /// As of [`read`](Self::read).
    pub fn is_writable(&self) -> Result<bool, VchanError> {
        let is_open = self.end.is_open()?;
        Ok((self.end.writable()? > 0 || !is_open) && !self.breaks.is_next())
    }

    /// Keeps `companion`, such as the task that runs the [`Lookout`](super::Lookout), as long as the
    /// connection.
    pub fn accompany(&self, companion: impl Any) {
        *self.end.companion.borrow_mut() = Some(Box::new(companion));
    }

    pub(super) fn end(&self) -> &Rc<End> {
        &self.end
    }
}

impl fmt::Debug for Vchan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let end = &self.end;
        write!(f, "Vchan({:?}, {:?}, {:?})", end.role, end.channel, self.sizes())
    }
}

/// The half of a connection that reads.
#[derive(Debug)]
pub struct ReadHalf(Vchan);

/// The half of a connection that writes.
#[derive(Debug)]
pub struct WriteHalf(Vchan);

impl ReadHalf {
    /// See [`Vchan::read`].
    ///
    /// # Errors
    /// As there.
    pub async fn read(&mut self, buffer: &mut [u8]) -> Result<usize, VchanError> {
        self.0.read(buffer).await
    }
}

impl WriteHalf {
    /// See [`Vchan::write`].
    ///
    /// # Errors
    /// As there.
    pub async fn write(&mut self, data: &[u8]) -> Result<usize, VchanError> {
        self.0.write(data).await
    }

    /// See [`Vchan::write_all`].
    ///
    /// # Errors
    /// As there.
    pub async fn write_all(&mut self, data: &[u8]) -> Result<(), VchanError> {
        self.0.write_all(data).await
    }

    /// See [`Vchan::flush`].
    ///
    /// # Errors
    /// As there.
    pub async fn flush(&mut self) -> Result<(), VchanError> {
        self.0.flush().await
    }
}

impl ErrorType for Vchan {
    type Error = VchanError;
}

impl Read for Vchan {
    async fn read(&mut self, buffer: &mut [u8]) -> Result<usize, VchanError> {
        Self::read(self, buffer).await
    }
}

impl ReadReady for Vchan {
    fn read_ready(&mut self) -> Result<bool, VchanError> {
        self.is_readable()
    }
}

impl Write for Vchan {
    async fn write(&mut self, data: &[u8]) -> Result<usize, VchanError> {
        Self::write(self, data).await
    }

    /// Does not wait: what was written is where the other side sees it. Use
    /// [`Vchan::flush`](Vchan::flush) to wait until it was read.
    async fn flush(&mut self) -> Result<(), VchanError> {
        self.end.is_open().map(|_| ())
    }
}

impl WriteReady for Vchan {
    fn write_ready(&mut self) -> Result<bool, VchanError> {
        self.is_writable()
    }
}

impl ErrorType for ReadHalf {
    type Error = VchanError;
}

impl Read for ReadHalf {
    async fn read(&mut self, buffer: &mut [u8]) -> Result<usize, VchanError> {
        self.0.read(buffer).await
    }
}

impl ErrorType for WriteHalf {
    type Error = VchanError;
}

impl Write for WriteHalf {
    async fn write(&mut self, data: &[u8]) -> Result<usize, VchanError> {
        self.0.write(data).await
    }

    /// Does not wait, as for [`Vchan`].
    async fn flush(&mut self) -> Result<(), VchanError> {
        self.0.end.is_open().map(|_| ())
    }
}
