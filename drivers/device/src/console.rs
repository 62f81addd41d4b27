//! Consoles: a stream of bytes in each direction, such as a UART.

use core::task::{Context, Poll};

/// A console that can be read, and written without waiting. One task does both: each of the two
/// `poll` functions may take the place of the other's waker.
pub trait ConsoleDevice {
    /// Takes what was typed, and returns how many bytes of `buffer` it filled; 0 if there is
    /// nothing.
    fn read(&mut self, buffer: &mut [u8]) -> usize;

    /// Ready when `read` may return something. When it returns pending, notifications are armed
    /// and the device was looked at again after that.
    fn poll_readable(&mut self, cx: &mut Context<'_>) -> Poll<()>;

    /// Writes as much of `bytes` as the device takes right now, and returns how much that was.
    fn write(&mut self, bytes: &[u8]) -> usize;

    /// Ready when `write` may take something. When it returns pending, notifications are armed and
    /// the device was looked at again after that.
    fn poll_writable(&mut self, cx: &mut Context<'_>) -> Poll<()>;

    /// Whether the device itself shows what is typed at it, as a terminal does that edits lines.
    fn echoes(&self) -> bool {
        false
    }
}
