//! virtio-rng (Virtual I/O Device 1.2, section 5.4): one queue of empty buffers that the device
//! fills with random bytes when it has some.

use alloc::rc::Rc;
use core::task::{Context, Poll};

use mayfly_device::{DeviceError, EntropySource, FrameBuf, FramePool, PagePool};

use crate::{
    StartError,
    buffers::Incoming,
    line::Line,
    negotiate::{go, negotiate, reset},
    queue::{Queue, synchronise},
    transport::Transport,
};

/// Descriptors in the queue; QEMU's has no more.
const QUEUE_SIZE: usize = 8;

const REQUEST_QUEUE: u16 = 0;

/// Bytes asked for at a time: as many as seed a generator.
const REQUEST_SIZE: usize = 64;

/// A virtio entropy device.
pub(crate) struct VirtioEntropy {
    transport: Transport,
    line: &'static Line,
    queue: Queue<Incoming, QUEUE_SIZE>,
    pool: Rc<dyn FramePool>,
    /// A request is under way.
    asked: bool,
    /// The device broke the protocol.
    broken: bool,
}

impl VirtioEntropy {
    /// Starts the device.
    pub(crate) fn new(mut transport: Transport, line: &'static Line) -> Result<Self, StartError> {
        let features = negotiate(&mut transport, 0, &[])?;
        let queue = Queue::new(&mut transport, REQUEST_QUEUE, features)?;
        go(&mut transport);
        let pool = Rc::new(PagePool::new(REQUEST_SIZE, PAGE_OF_REQUESTS));
        Ok(Self { transport, line, queue, pool, asked: false, broken: false })
    }

    /// Asks the device for bytes, unless it was asked already.
    fn ask(&mut self) -> Result<(), DeviceError> {
        if self.asked {
            return Ok(());
        }
        let buffer = FrameBuf::allocate(&self.pool, 0).ok_or(DeviceError::OutOfMemory)?;
        self.queue.push(Incoming(buffer)).map_err(|_| DeviceError::OutOfMemory)?;
        self.queue.tell(&mut self.transport);
        self.asked = true;
        Ok(())
    }

    /// The answer, if it is there; otherwise the task of `cx` is woken when it is.
    fn look(
        &mut self,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Result<Option<usize>, DeviceError> {
        self.line.watch(cx);
        self.queue.interrupt_after(1);
        synchronise(&self.transport)?;
        self.queue.settle(&mut self.transport);
        if !self.queue.has_used() {
            return Ok(None);
        }
        self.queue.no_interrupts();
        self.answer(buffer)
    }

    /// The answer, if it is there.
    fn answer(&mut self, buffer: &mut [u8]) -> Result<Option<usize>, DeviceError> {
        let Some((Incoming(mut random), written)) = self.queue.pop()? else {
            return Ok(None);
        };
        self.asked = false;
        let filled = written.min(REQUEST_SIZE).min(buffer.len());
        let (Some(to), Some(from)) = (buffer.get_mut(..filled), random.whole().get(..filled))
        else {
            return Err(DeviceError::Protocol);
        };
        to.copy_from_slice(from);
        random.whole_mut().fill(0);
        // A device that answers with nothing would keep its caller asking for ever.
        if filled == 0 { Err(DeviceError::Io) } else { Ok(Some(filled)) }
    }
}

/// A page's worth of requests, the least that the pool can hold.
const PAGE_OF_REQUESTS: usize = mayfly_arch::PAGE_SIZE / REQUEST_SIZE;

impl EntropySource for VirtioEntropy {
    fn poll_fill(
        &mut self,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<Result<usize, DeviceError>> {
        if self.broken {
            return Poll::Ready(Err(DeviceError::Gone));
        }
        let answer = self.ask().and_then(|()| self.look(cx, buffer));
        match answer {
            Ok(Some(filled)) => Poll::Ready(Ok(filled)),
            Ok(None) => Poll::Pending,
            Err(error) => {
                // Out of memory may pass.
                self.broken = error != DeviceError::OutOfMemory;
                Poll::Ready(Err(error))
            }
        }
    }
}

impl Drop for VirtioEntropy {
    fn drop(&mut self) {
        if reset(&mut self.transport) {
            // SAFETY: the device has confirmed the reset, and the queue goes away.
            unsafe { self.queue.release() }
        }
    }
}

#[cfg(test)]
mod tests {
    use core::task::Waker;

    use virtio_drivers::transport::DeviceType;

    use super::*;
    use crate::fake;

    #[test]
    fn bytes_arrive_when_the_device_has_some() {
        let (device, transport) = fake::device(DeviceType::EntropySource, 0, &[], 1);
        let mut driver = VirtioEntropy::new(transport, device.line).unwrap();
        let mut cx = Context::from_waker(Waker::noop());
        let mut buffer = [0; 32];
        assert!(driver.poll_fill(&mut cx, &mut buffer).is_pending());
        assert!(driver.poll_fill(&mut cx, &mut buffer).is_pending());
        assert_eq!((device.notified(0), device.offered(0)), (1, 1));
        assert!(device.wants_interrupt(0));
        let (id, parts) = device.take(0).unwrap();
        parts[0].write(&[5; 20]);
        device.put_used(0, id.into(), 20);
        assert_eq!(driver.poll_fill(&mut cx, &mut buffer), Poll::Ready(Ok(20)));
        assert_eq!(buffer[..20], [5; 20]);
        assert_eq!(buffer[20], 0);
    }

    #[test]
    fn lies_about_the_length_are_cut() {
        let (device, transport) = fake::device(DeviceType::EntropySource, 0, &[], 1);
        let mut driver = VirtioEntropy::new(transport, device.line).unwrap();
        let mut cx = Context::from_waker(Waker::noop());
        let mut buffer = [0; 100];
        for (claimed, result) in
            [(u32::MAX, Ok(REQUEST_SIZE)), (0, Err(DeviceError::Io)), (9, Err(DeviceError::Gone))]
        {
            assert!(driver.poll_fill(&mut cx, &mut buffer).is_pending() || claimed == 9);
            if let Some((id, _)) = device.take(0) {
                device.put_used(0, id.into(), claimed);
            }
            assert_eq!(driver.poll_fill(&mut cx, &mut buffer), Poll::Ready(result));
        }
    }
}
