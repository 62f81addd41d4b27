//! virtio-blk (Virtual I/O Device 1.2, section 5.2).
//!
//! One queue of requests. Each is a chain of up to three descriptors: a header that the device
//! reads (what to do, where), the data, and a status byte that the device writes last. Up to
//! [`QUEUE_SIZE`] descriptors' worth of requests are under way at once, and the device answers in
//! any order; the driver finds out which one it is by the number of the first descriptor.

mod config;
mod request;
#[cfg(test)]
mod tests;

use alloc::rc::Rc;
use core::task::{Context, Poll};

use mayfly_device::{
    BlockDevice, BlockInfo, BlockRequest, Completion, DeviceError, FramePool, PagePool,
};

use self::request::{CONTROL_SIZE, Request};
use crate::{
    StartError,
    line::Line,
    negotiate::{go, negotiate, reset},
    queue::{Queue, Transfer, synchronise},
    transport::Transport,
};

/// Descriptors in the queue.
const QUEUE_SIZE: usize = 64;

const REQUEST_QUEUE: u16 = 0;

/// A virtio block device.
pub(crate) struct VirtioBlock {
    transport: Transport,
    line: &'static Line,
    info: BlockInfo,
    queue: Queue<Request, QUEUE_SIZE>,
    /// Headers and status bytes.
    controls: Rc<dyn FramePool>,
    /// The device broke the protocol.
    broken: bool,
}

impl VirtioBlock {
    /// Starts the device.
    pub(crate) fn new(mut transport: Transport, line: &'static Line) -> Result<Self, StartError> {
        let features = negotiate(&mut transport, config::WANTED, &[])?;
        let info = config::read(&transport, features)?;
        let queue = Queue::new(&mut transport, REQUEST_QUEUE, features)?;
        go(&mut transport);
        let controls = Rc::new(PagePool::new(CONTROL_SIZE, QUEUE_SIZE));
        Ok(Self { transport, line, info, queue, controls, broken: false })
    }

    fn fail(&mut self) {
        self.broken = true;
        log::error!("virtio-blk: {}", DeviceError::Protocol);
    }
}

impl BlockDevice for VirtioBlock {
    fn info(&self) -> BlockInfo {
        self.info
    }

    fn submit(&mut self, request: BlockRequest) -> Result<(), BlockRequest> {
        if self.broken || self.queue.room() == 0 {
            return Err(request);
        }
        let request = Request::new(request, self.info.sector_size, &self.controls)?;
        self.queue.push(request).map_err(Request::into_block_request)
    }

    fn flush_queue(&mut self) {
        if !self.broken {
            self.queue.tell(&mut self.transport);
        }
    }

    fn complete(&mut self) -> Option<Completion> {
        if self.broken {
            return None;
        }
        match self.queue.pop() {
            Ok(used) => used.map(|(request, _)| request.complete()),
            Err(_) => {
                self.fail();
                None
            }
        }
    }

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), DeviceError>> {
        if self.broken {
            return Poll::Ready(Err(DeviceError::Protocol));
        }
        self.line.watch(cx);
        self.queue.interrupt_after(1);
        synchronise(&self.transport)?;
        self.queue.settle(&mut self.transport);
        if !self.queue.has_used() {
            return Poll::Pending;
        }
        self.queue.no_interrupts();
        Poll::Ready(Ok(()))
    }
}

impl Drop for VirtioBlock {
    fn drop(&mut self) {
        if reset(&mut self.transport) {
            // SAFETY: the device has confirmed the reset, and the queue goes away.
            unsafe { self.queue.release() }
        }
    }
}

const _: () = assert!(Request::PARTS <= QUEUE_SIZE);
