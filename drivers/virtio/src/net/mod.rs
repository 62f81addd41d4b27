//! virtio-net (Virtual I/O Device 1.2, section 5.1).
//!
//! Two queues. The [receive queue](receive) is kept filled with empty buffers, and a frame goes up
//! to the stack in the buffer in which it arrived. A frame to be sent has room for the
//! [header](header) in front of it, so it goes out of the buffer in which the stack wrote it.
//!
//! Interrupts: for received frames only while nobody is looking, that is from the moment on when
//! `poll_ready` has found nothing, or from the `flush` right before it; for sent frames only while
//! the stack waits for room, once half of the queue is free. Sent frames are freed when the next one
//! wants to go.

mod features;
mod header;
mod large;
mod receive;
#[cfg(test)]
mod tests;

use alloc::rc::Rc;
use core::{
    mem,
    num::NonZeroU16,
    task::{Context, Poll},
};

use mayfly_device::{
    DeviceError, FrameBuf, FramePool, NetDevice, NetInfo, PagePool, PartialChecksum, Received,
    Segmentation,
};

use self::{
    features::Abilities,
    header::{Header, Layout},
    receive::{Receiver, Stock},
};
use crate::{
    StartError,
    buffers::Outgoing,
    line::Line,
    negotiate::{go, negotiate, reset},
    queue::{Queue, synchronise},
    transport::Transport,
};

/// Descriptors in each queue: as many frames can be under way in each direction.
const QUEUE_SIZE: usize = 64;

/// How many frames must fit a transmit queue that was full before the stack is woken.
const ENOUGH_ROOM: usize = QUEUE_SIZE / 2;

/// Bytes in a frame buffer: header, Ethernet header and an IP packet of 1500 bytes fit, two buffers
/// fill a page.
const BUFFER_SIZE: usize = 2048;

/// Most frame buffers that a device has: those in both queues, and as many again for what the stack
/// holds.
const MAX_BUFFERS: usize = 4 * QUEUE_SIZE;

/// How many of those may hold datagrams that nobody has read. As many again are for frames that the
/// stack cannot send yet.
const SPARE_BUFFERS: usize = MAX_BUFFERS / 4;

/// Longest frame that the device cuts into segments: an IP packet of 65,535 bytes and the header.
const LARGE_BUFFER_SIZE: usize = 65_536;

/// Most large frames under way.
const MAX_LARGE_BUFFERS: usize = 16;

const RECEIVE_QUEUE: u16 = 0;
const TRANSMIT_QUEUE: u16 = 1;

/// A virtio network device.
pub(crate) struct VirtioNet {
    transport: Transport,
    line: &'static Line,
    info: NetInfo,
    segmentation: Segmentation,
    layout: Layout,
    receive: Receiver,
    transmit: Queue<Outgoing, QUEUE_SIZE>,
    pool: Rc<dyn FramePool>,
    large_pool: Option<Rc<dyn FramePool>>,
    /// The stack found the transmit queue full.
    wants_room: bool,
    /// The device was notified after it was asked for an interrupt, and nothing has changed since.
    is_armed: bool,
    /// The device broke the protocol.
    broken: bool,
}

impl VirtioNet {
    /// Starts the device.
    pub(crate) fn new(mut transport: Transport, line: &'static Line) -> Result<Self, StartError> {
        let pool: Rc<dyn FramePool> = Rc::new(PagePool::new(BUFFER_SIZE, MAX_BUFFERS));
        let stock = Stock::take(&pool);
        let features = negotiate(&mut transport, stock.wanted(), features::NEEDED_BY)?;
        let Abilities { info, segmentation, layout } = Abilities::read(&transport, features)?;
        let large_pool: Option<Rc<dyn FramePool>> = (segmentation != Segmentation::default())
            .then(|| Rc::new(PagePool::new(LARGE_BUFFER_SIZE, MAX_LARGE_BUFFERS)) as _);
        let receive = Receiver::new(&mut transport, features, layout, &pool, stock)?;
        let transmit = Queue::new(&mut transport, TRANSMIT_QUEUE, features)?;
        go(&mut transport);
        let mut device = Self {
            transport,
            line,
            info,
            segmentation,
            layout,
            receive,
            transmit,
            pool,
            large_pool,
            wants_room: false,
            is_armed: false,
            broken: false,
        };
        device.receive.queue.tell(&mut device.transport);
        Ok(device)
    }

    /// Frees the frames that have left.
    fn reclaim(&mut self) {
        while !self.broken {
            match self.transmit.pop() {
                Ok(Some(sent)) => drop(sent),
                Ok(None) => return,
                Err(_) => self.fail(),
            }
        }
    }

    /// Gives the device up.
    fn fail(&mut self) {
        if !self.broken {
            self.broken = true;
            log::error!("virtio-net: {}", DeviceError::Protocol);
        }
    }

    /// Puts the header in front of a frame and queues it.
    fn queue(
        &mut self,
        mut frame: FrameBuf,
        segment: Option<NonZeroU16>,
    ) -> Result<(), DeviceError> {
        if self.broken {
            return Err(DeviceError::Gone);
        }
        self.is_armed = false;
        let checksum = match self.info.checksums.on_transmit {
            true => PartialChecksum::locate(frame.bytes()),
            false => None,
        };
        if segment.is_some() && checksum.is_none() {
            return Err(DeviceError::Unsupported);
        }
        let header = Header::outgoing(checksum, segment);
        if !self.layout.prepend(header, &mut frame) {
            return Err(DeviceError::Unsupported);
        }
        if self.transmit.room() == 0 {
            self.reclaim();
        }
        self.transmit.push(Outgoing(frame)).map_err(|_| DeviceError::OutOfMemory)
    }

    /// Prepares for the task of `cx` to sleep until an interrupt. Returns whether it may.
    fn sleep(&mut self, cx: &mut Context<'_>) -> Result<bool, DeviceError> {
        self.line.watch(cx);
        self.receive.rest();
        if self.wants_room {
            self.transmit.interrupt_after(ENOUGH_ROOM as u16);
        }
        let is_armed = mem::take(&mut self.is_armed);
        if !is_armed || self.wants_room || !self.receive.queue.has_told() {
            self.receive.queue.interrupt_after(1);
            self.tell();
            synchronise(&self.transport)?;
        }
        self.receive.queue.settle(&mut self.transport);
        self.transmit.settle(&mut self.transport);
        Ok(!self.receive.queue.has_used() && !self.has_enough_room())
    }

    /// Tells the device of what was queued. Returns whether it was notified of frames to be sent.
    fn tell(&mut self) -> bool {
        self.receive.queue.tell(&mut self.transport);
        self.transmit.tell(&mut self.transport)
    }

    /// Whether the stack waits for room to transmit, and there is enough of it to go on. One frame
    /// at a time would cost a wake-up for each.
    fn has_enough_room(&self) -> bool {
        self.wants_room && self.transmit.room() + self.transmit.used_count() >= ENOUGH_ROOM
    }
}

impl NetDevice for VirtioNet {
    fn info(&self) -> NetInfo {
        self.info
    }

    fn pool(&self) -> Rc<dyn FramePool> {
        Rc::clone(&self.pool)
    }

    fn segmentation(&self) -> Segmentation {
        self.segmentation
    }

    fn large_pool(&self) -> Option<Rc<dyn FramePool>> {
        self.large_pool.clone()
    }

    fn receive(&mut self) -> Option<Received> {
        // Every look ends with one that finds nothing, so that is to be quick.
        if !self.receive.queue.has_used() {
            return None;
        }
        self.is_armed = false;
        if self.receive.is_short() {
            self.reclaim();
        }
        if self.broken {
            return None;
        }
        self.receive.next().unwrap_or_else(|_| {
            self.fail();
            None
        })
    }

    fn transmit_room(&mut self) -> usize {
        self.reclaim();
        let room = if self.broken { 0 } else { self.transmit.room() };
        self.wants_room = room == 0;
        room
    }

    fn transmit(&mut self, frame: FrameBuf) -> Result<(), DeviceError> {
        self.queue(frame, None)
    }

    fn transmit_segmented(
        &mut self,
        frame: FrameBuf,
        segment_size: NonZeroU16,
    ) -> Result<(), DeviceError> {
        self.queue(frame, Some(segment_size))
    }

    fn flush(&mut self) {
        if self.broken {
            return;
        }
        // The stack goes to sleep next, most of the time. If it is asked for the interrupt now, the
        // notification makes the device see that, and saves an access of its own.
        let is_idle = !self.receive.queue.has_used();
        if is_idle {
            self.receive.queue.interrupt_after(1);
        }
        self.is_armed = self.tell() && is_idle;
    }

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), DeviceError>> {
        if self.broken {
            return Poll::Ready(Err(DeviceError::Protocol));
        }
        if !self.receive.queue.has_used() && self.sleep(cx)? {
            return Poll::Pending;
        }
        self.receive.queue.no_interrupts();
        self.transmit.no_interrupts();
        // The stack has been told; if it finds no room all the same, it will say so again.
        self.wants_room &= !self.has_enough_room();
        Poll::Ready(Ok(()))
    }
}

impl Drop for VirtioNet {
    fn drop(&mut self) {
        if reset(&mut self.transport) {
            // SAFETY: the device has confirmed the reset, and the queues go away.
            unsafe {
                self.receive.queue.release();
                self.transmit.release();
            }
        }
    }
}
