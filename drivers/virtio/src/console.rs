//! virtio-console (Virtual I/O Device 1.2, section 5.3), its first port: a queue of empty buffers
//! for what is typed, and a queue of full ones to print.

use alloc::rc::Rc;
use core::task::{Context, Poll};

use mayfly_device::{ConsoleDevice, DeviceError, FrameBuf, FramePool, PagePool};

use crate::{
    StartError,
    buffers::{Incoming, Outgoing},
    line::Line,
    negotiate::{go, negotiate, reset},
    queue::{Queue, synchronise},
    transport::Transport,
};

/// Descriptors in each queue.
const QUEUE_SIZE: usize = 8;

/// Bytes in a buffer.
const BUFFER_SIZE: usize = 256;

/// Buffers that wait for input.
const INPUT_BUFFERS: usize = 2;

/// Buffers in all: a page of them.
const BUFFERS: usize = mayfly_arch::PAGE_SIZE / BUFFER_SIZE;

const RECEIVE_QUEUE: u16 = 0;
const TRANSMIT_QUEUE: u16 = 1;

/// A virtio console.
pub(crate) struct VirtioConsole {
    transport: Transport,
    line: &'static Line,
    input: Queue<Incoming, QUEUE_SIZE>,
    output: Queue<Outgoing, QUEUE_SIZE>,
    pool: Rc<dyn FramePool>,
    /// What was typed and not read yet.
    typed: Option<FrameBuf>,
    /// The device broke the protocol.
    broken: bool,
}

impl VirtioConsole {
    /// Starts the device.
    pub(crate) fn new(mut transport: Transport, line: &'static Line) -> Result<Self, StartError> {
        let features = negotiate(&mut transport, 0, &[])?;
        let input = Queue::new(&mut transport, RECEIVE_QUEUE, features)?;
        let output = Queue::new(&mut transport, TRANSMIT_QUEUE, features)?;
        go(&mut transport);
        let pool: Rc<dyn FramePool> = Rc::new(PagePool::new(BUFFER_SIZE, BUFFERS));
        let mut console = Self { transport, line, input, output, pool, typed: None, broken: false };
        for _ in 0..INPUT_BUFFERS {
            let buffer = FrameBuf::allocate(&console.pool, 0).ok_or(StartError::OutOfMemory)?;
            console.input.push(Incoming(buffer)).map_err(|_| StartError::OutOfMemory)?;
        }
        console.input.tell(&mut console.transport);
        Ok(console)
    }

    /// The next buffer of input.
    fn take_input(&mut self) -> Result<Option<FrameBuf>, DeviceError> {
        let Some((Incoming(mut buffer), written)) = self.input.pop()? else {
            return Ok(None);
        };
        if buffer.set_range(0, written) { Ok(Some(buffer)) } else { Err(DeviceError::Protocol) }
    }

    fn reclaim(&mut self) -> Result<(), DeviceError> {
        while self.output.pop()?.is_some() {}
        Ok(())
    }

    /// Before the task sleeps.
    fn synchronise(&mut self) {
        if synchronise(&self.transport).is_err() {
            self.fail();
        }
        self.input.settle(&mut self.transport);
        self.output.settle(&mut self.transport);
    }

    fn fail(&mut self) {
        self.broken = true;
        log::error!("virtio-console: {}", DeviceError::Protocol);
    }

    /// Copies from the buffer of input to `bytes`; an empty buffer goes back to the device.
    fn copy_typed(&mut self, bytes: &mut [u8]) -> usize {
        let Some(mut buffer) = self.typed.take() else {
            return 0;
        };
        let count = buffer.bytes().len().min(bytes.len());
        for (to, from) in bytes.iter_mut().zip(buffer.bytes()) {
            *to = *from;
        }
        let (start, end) = (buffer.headroom(), buffer.headroom() + buffer.bytes().len());
        let rest_is_set = buffer.set_range(start + count, end);
        if rest_is_set && !buffer.bytes().is_empty() {
            self.typed = Some(buffer);
        } else if self.input.push(Incoming(buffer)).is_ok() {
            self.input.tell(&mut self.transport);
        }
        count
    }
}

impl ConsoleDevice for VirtioConsole {
    fn read(&mut self, bytes: &mut [u8]) -> usize {
        let mut count = 0;
        while !self.broken && count < bytes.len() {
            if self.typed.is_none() {
                match self.take_input() {
                    Ok(Some(buffer)) => self.typed = Some(buffer),
                    Ok(None) => break,
                    Err(_) => self.fail(),
                }
            }
            count += self.copy_typed(bytes.get_mut(count..).unwrap_or_default());
        }
        count
    }

    fn poll_readable(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.typed.is_some() {
            return Poll::Ready(());
        }
        self.line.watch(cx);
        self.input.interrupt_after(1);
        self.synchronise();
        if self.broken || !self.input.has_used() {
            return Poll::Pending;
        }
        self.input.no_interrupts();
        Poll::Ready(())
    }

    fn write(&mut self, bytes: &[u8]) -> usize {
        if self.broken {
            // As if it was printed: nobody will ever take it.
            return bytes.len();
        }
        if self.reclaim().is_err() {
            self.fail();
        }
        let mut count = 0;
        for part in bytes.chunks(BUFFER_SIZE) {
            let Some(mut buffer) = FrameBuf::allocate(&self.pool, 0) else {
                break;
            };
            if !buffer.set_range(0, part.len()) {
                break;
            }
            buffer.bytes_mut().copy_from_slice(part);
            if self.output.push(Outgoing(buffer)).is_err() {
                break;
            }
            count += part.len();
        }
        self.output.tell(&mut self.transport);
        count
    }

    fn poll_writable(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.broken || self.output.room() > 0 {
            return Poll::Ready(());
        }
        self.line.watch(cx);
        self.output.interrupt_after(1);
        self.synchronise();
        if !self.output.has_used() {
            return Poll::Pending;
        }
        self.output.no_interrupts();
        Poll::Ready(())
    }
}

impl Drop for VirtioConsole {
    fn drop(&mut self) {
        if reset(&mut self.transport) {
            // SAFETY: the device has confirmed the reset, and the queues go away.
            unsafe {
                self.input.release();
                self.output.release();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use core::task::Waker;

    use virtio_drivers::transport::DeviceType;

    use super::*;
    use crate::fake::{self, FakeDevice};

    fn start() -> (FakeDevice, VirtioConsole) {
        let (device, transport) = fake::device(DeviceType::Console, 0, &[], 2);
        let driver = VirtioConsole::new(transport, device.line).unwrap();
        (device, driver)
    }

    fn type_bytes(device: &FakeDevice, bytes: &[u8]) {
        let (id, parts) = device.take(0).unwrap();
        parts[0].write(bytes);
        device.put_used(0, id.into(), bytes.len() as u32);
    }

    #[test]
    fn input_is_read_in_pieces_of_any_size() {
        let (device, mut driver) = start();
        let mut cx = Context::from_waker(Waker::noop());
        assert!(driver.poll_readable(&mut cx).is_pending());
        type_bytes(&device, b"hello ");
        type_bytes(&device, b"world");
        assert!(driver.poll_readable(&mut cx).is_ready());
        let mut bytes = [0; 4];
        assert_eq!(driver.read(&mut bytes), 4);
        assert_eq!(&bytes, b"hell");
        let mut rest = [0; 100];
        assert_eq!(driver.read(&mut rest), 7);
        assert_eq!(&rest[..7], b"o world");
        assert_eq!(driver.read(&mut rest), 0);
        assert_eq!(usize::from(device.offered(0)), INPUT_BUFFERS);
    }

    #[test]
    fn output_waits_for_room() {
        let (device, mut driver) = start();
        let mut cx = Context::from_waker(Waker::noop());
        let text = [b'x'; BUFFER_SIZE * QUEUE_SIZE + 1];
        assert!(driver.poll_writable(&mut cx).is_ready());
        assert_eq!(driver.write(&text), BUFFER_SIZE * QUEUE_SIZE);
        assert_eq!(device.notified(1), 1);
        assert!(driver.poll_writable(&mut cx).is_pending());
        let (id, parts) = device.take(1).unwrap();
        assert_eq!(parts[0].read(), [b'x'; BUFFER_SIZE]);
        device.put_used(1, id.into(), 0);
        assert!(driver.poll_writable(&mut cx).is_ready());
        assert_eq!(driver.write(b"tail"), 4);
    }

    #[test]
    fn a_lie_about_the_length_ends_the_console() {
        let (device, mut driver) = start();
        let (id, _) = device.take(0).unwrap();
        device.put_used(0, id.into(), BUFFER_SIZE as u32 + 1);
        assert_eq!(driver.read(&mut [0; 10]), 0);
        assert_eq!(driver.write(b"into the void"), 13);
    }
}
