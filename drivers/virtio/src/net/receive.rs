//! The receive queue: empty buffers in, frames out.
//!
//! The device writes a header and a frame into a buffer and returns it, and a fresh one takes its
//! place. When memory is short, the queue holds fewer buffers, so that some are left to answer with.
//!
//! A TCP packet that was never cut into segments, because its sender is on the same host, comes in
//! as many buffers as it takes (`VIRTIO_NET_F_MRG_RXBUF`). The stack wants a packet in one piece,
//! so it is put together, which costs a copy, and saves the work for dozens of segments. Where one
//! such packet comes, there are more: from then on the queue holds a few buffers that are as large,
//! instead of the many, until nothing but short frames has come for a while. A short frame that
//! comes in one of them is copied out, so that it does not keep so much memory.
//!
//! There are no small buffers beside the large ones: the device takes all in turn, so long packets
//! would come in the small ones, too, and be copied once more. A burst of short frames that is
//! longer than the queue waits in the host until the guest has taken in the first few.

use alloc::{rc::Rc, vec::Vec};

use mayfly_device::{DeviceError, FrameBuf, FramePool, PagePool, Received};

use super::{
    BUFFER_SIZE, LARGE_BUFFER_SIZE, QUEUE_SIZE, RECEIVE_QUEUE,
    features::{WANTED, WANTED_WITH_MEMORY},
    header::{First, Layout, MAX_SIZE},
    large::{LARGE_UNITS, LargePool, MAX_LARGE, is_large},
};
use crate::{StartError, buffers::Incoming, queue::Queue, transport::Transport};

/// Receive buffers at the start. Doubles when a burst was longer, up to the queue's size.
pub(super) const FIRST_BUFFERS: usize = 16;

/// Receive buffers that stay in the queue however short memory is.
pub(super) const LAST_BUFFERS: usize = 4;

/// The same if a frame may take several: QEMU keeps a frame back, and everything behind it, until
/// there are buffers for all of it. The standard has the longest as 65,562 bytes (Virtual I/O
/// Device 1.2, section 5.1.6.3.1).
pub(super) const LAST_BUFFERS_IF_SPREAD: usize = (65_550 + MAX_SIZE).div_ceil(BUFFER_SIZE) + 1;

/// Packets that were put together and that the stack may hold at a time.
pub(super) const MAX_WHOLE: usize = 2;

/// Short frames in a row after which no more long ones are expected.
pub(super) const SHORT_FRAMES: u16 = 256;

/// Buffers for a queue that does not exist yet, because what is agreed on with the device depends
/// on how many there are.
pub(super) struct Stock(Vec<FrameBuf>);

impl Stock {
    /// As many as are needed at least, whatever is agreed on, or as many as there are. Leaves one
    /// in the pool.
    pub(super) fn take(pool: &Rc<dyn FramePool>) -> Self {
        let _last = FrameBuf::allocate(pool, 0);
        let buffers = core::iter::from_fn(|| FrameBuf::allocate(pool, 0));
        Self(buffers.take(LAST_BUFFERS_IF_SPREAD).collect())
    }

    /// The features that the device is asked for.
    pub(super) fn wanted(&self) -> u64 {
        if self.0.len() < LAST_BUFFERS_IF_SPREAD { WANTED } else { WANTED_WITH_MEMORY }
    }
}

/// The receive queue and its buffers.
pub(super) struct Receiver {
    pub(super) queue: Queue<Incoming, QUEUE_SIZE>,
    layout: Layout,
    pool: Rc<dyn FramePool>,
    /// Where packets are put together that came in several buffers, if there may be any.
    whole_pool: Option<Rc<dyn FramePool>>,
    /// Large buffers for the queue.
    pub(super) large_pool: LargePool,
    /// How many of them are in it.
    large: usize,
    /// For how many more short frames long ones are expected.
    expects_long: u16,
    /// How many buffers the queue holds at least, and is to hold.
    least: usize,
    wanted: usize,
    /// Buffers received since the queue was last found empty.
    burst: usize,
    /// There was no memory for a fresh small buffer.
    is_short: bool,
}

impl Receiver {
    /// Sets the queue up and fills it.
    pub(super) fn new(
        transport: &mut Transport,
        features: u64,
        layout: Layout,
        pool: &Rc<dyn FramePool>,
        stock: Stock,
    ) -> Result<Self, StartError> {
        let (first, least) = match layout.spreads() {
            true => (LAST_BUFFERS_IF_SPREAD, LAST_BUFFERS_IF_SPREAD),
            false => (FIRST_BUFFERS, LAST_BUFFERS),
        };
        let whole_pool = layout
            .spreads()
            .then(|| Rc::new(PagePool::new(LARGE_BUFFER_SIZE, MAX_WHOLE)) as Rc<dyn FramePool>);
        let mut receiver = Self {
            queue: Queue::new(transport, RECEIVE_QUEUE, features)?,
            layout,
            pool: Rc::clone(pool),
            whole_pool,
            large_pool: LargePool::new(),
            large: 0,
            expects_long: 0,
            least,
            wanted: first,
            burst: 0,
            is_short: false,
        };
        for buffer in stock.0.into_iter().take(first) {
            receiver.give_back(buffer);
        }
        match receiver.held() {
            0 => Err(StartError::OutOfMemory),
            _ => Ok(receiver),
        }
    }

    /// How many buffers the queue holds; a large one counts as what it stands for.
    #[inline]
    fn held(&self) -> usize {
        QUEUE_SIZE - self.queue.room() + self.large * (LARGE_UNITS - 1)
    }

    /// Whether memory was short when a fresh buffer was last needed.
    pub(super) fn is_short(&self) -> bool {
        self.is_short
    }

    /// Fills the queue up to what it is to hold, or with what there is. Does not take the last
    /// buffer: with all of them in the queue, nothing could be sent.
    fn refill(&mut self) {
        let _last = FrameBuf::allocate(&self.pool, 0);
        while self.held() < self.wanted
            && let Some(buffer) = FrameBuf::allocate(&self.pool, 0)
            && self.queue.push(Incoming(buffer)).is_ok()
        {}
        self.is_short = self.held() < self.wanted;
    }

    /// The queue was found empty. It gets more buffers after a burst that was longer than it, or
    /// when memory was short.
    pub(super) fn rest(&mut self) {
        if self.burst >= self.wanted && self.wanted < QUEUE_SIZE {
            self.wanted = (2 * self.wanted).min(QUEUE_SIZE);
        }
        self.burst = 0;
        if self.held() < self.wanted {
            self.refill();
        }
        if self.large == 0 && self.large_pool.has_memory() {
            self.large_pool.release_memory();
        }
    }

    /// Takes note that a buffer has come out of a queue with large ones in it. Returns whether it
    /// is one of them.
    #[cold]
    fn has_left(&mut self, used: &FrameBuf) -> bool {
        let is_large = is_large(used);
        if is_large {
            self.large -= 1;
        } else {
            self.expects_long = self.expects_long.saturating_sub(1);
        }
        is_large
    }

    /// The next frame. Malformed ones are dropped, but not more at a time than fit the queue: the
    /// device sees fresh buffers at once, and may go on for ever.
    ///
    /// # Errors
    /// If the device breaks the protocol.
    #[inline]
    pub(super) fn next(&mut self) -> Result<Option<Received>, DeviceError> {
        for _ in 0..QUEUE_SIZE {
            let Some((Incoming(used), written)) = self.queue.pop()? else { break };
            self.burst += 1;
            let is_large = self.large > 0 && self.has_left(&used);
            let next = match self.layout.strip(used, written) {
                Some(First { received, more: 0 }) if is_large => self.replace_large(received),
                Some(First { received, more: 0 }) => self.replace(received),
                Some(First { received, more }) => self.put_together(received, more)?,
                None => {
                    self.make_up_for(is_large);
                    None
                }
            };
            // A burst may be longer than the queue: the device goes on while it is worked off.
            self.queue.show();
            if next.is_some() {
                return Ok(next);
            }
        }
        Ok(None)
    }

    /// Puts a fresh buffer in the place of the one that a frame came in.
    ///
    /// When there is none to be had, the queue becomes shorter, until memory is there again. The
    /// last few buffers go back to it all the same, and their frames are dropped.
    #[inline]
    fn replace(&mut self, received: Received) -> Option<Received> {
        if self.refill_one() || self.held() >= self.least {
            return Some(received);
        }
        self.give_back(received.frame);
        None
    }

    /// As `replace`, for a frame in a large buffer, which only a long one keeps.
    #[cold]
    fn replace_large(&mut self, received: Received) -> Option<Received> {
        if received.frame.headroom() + received.frame.bytes().len() <= BUFFER_SIZE {
            return self.copy_out(received);
        }
        self.expects_long = SHORT_FRAMES;
        if !self.add_large() {
            self.refill();
        }
        if self.held() >= self.least {
            return Some(received);
        }
        self.give_back(received.frame);
        None
    }

    /// Moves a short frame to a small buffer, or drops it if there is none. The large one goes back
    /// to the queue while long frames are expected, or if there is too little in their place.
    fn copy_out(&mut self, received: Received) -> Option<Received> {
        self.expects_long = self.expects_long.saturating_sub(1);
        if self.expects_long == 0 {
            self.refill();
        }
        let copy = FrameBuf::allocate(&self.pool, 0).and_then(|small| copy(&received.frame, small));
        self.is_short = copy.is_none();
        if self.expects_long > 0 || self.held() < self.least {
            self.give_back(received.frame);
        }
        copy.map(|frame| Received { frame, checked: received.checked })
    }

    /// Puts buffers in the place of one that held no frame and has gone back to its pool. One
    /// packet needs many small ones, so a large one is not made up for by one of them.
    #[cold]
    fn make_up_for(&mut self, is_large: bool) {
        if !is_large {
            self.refill_one();
        } else if !self.add_large() {
            self.refill();
        }
    }

    /// Puts a large buffer in the queue. Returns whether there was one.
    fn add_large(&mut self) -> bool {
        let fresh = self.large_pool.allocate();
        fresh.map(|fresh| self.give_back(fresh)).is_some()
    }

    /// Puts a fresh buffer in the queue. Returns whether there was one.
    #[inline]
    fn refill_one(&mut self) -> bool {
        let fresh = FrameBuf::allocate(&self.pool, 0);
        self.is_short = fresh.is_none();
        // There is room for it where the last one came from.
        fresh.map(|fresh| self.queue.push(Incoming(fresh))).is_some()
    }

    /// Puts a buffer in the queue.
    #[inline]
    fn give_back(&mut self, buffer: FrameBuf) {
        let is_large = is_large(&buffer);
        // There is room for it where it came from, or another one.
        if self.queue.push(Incoming(buffer)).is_ok() {
            self.large += usize::from(is_large);
        }
    }

    /// Puts a large buffer in the queue in the place of one that held a part of a long frame, or
    /// that one itself, or neither if the queue holds enough.
    fn exchange(&mut self, part: FrameBuf) {
        let is_larger = self.large + 1 < MAX_LARGE && self.add_large();
        if !is_larger && self.held() < self.wanted {
            self.give_back(part);
        }
    }

    /// Makes one packet of a buffer and those that come after it, which go back to the queue.
    /// `None` if there is no memory for it, or if it is longer than any packet.
    #[cold]
    fn put_together(
        &mut self,
        first: Received,
        more: u16,
    ) -> Result<Option<Received>, DeviceError> {
        let mut whole = self.whole_pool.as_ref().and_then(|pool| FrameBuf::allocate(pool, 0));
        append(&mut whole, first.frame.bytes());
        // The next ones need not be.
        self.expects_long = SHORT_FRAMES;
        self.exchange(first.frame);
        for _ in 0..more {
            // The device returns all buffers of a frame at once.
            let (Incoming(part), written) = self.queue.pop()?.ok_or(DeviceError::Protocol)?;
            self.burst += 1;
            if self.large > 0 {
                self.has_left(&part);
            }
            append(&mut whole, part.whole().get(..written).ok_or(DeviceError::Protocol)?);
            self.exchange(part);
        }
        Ok(whole.map(|frame| Received { frame, checked: first.checked }))
    }
}

/// Copies a frame to the same place in another buffer. `None` if it does not fit.
fn copy(frame: &FrameBuf, mut to: FrameBuf) -> Option<FrameBuf> {
    let start = frame.headroom();
    if !to.set_range(start, start + frame.bytes().len()) {
        return None;
    }
    to.bytes_mut().copy_from_slice(frame.bytes());
    Some(to)
}

/// Adds bytes to a frame, or gives it up if they do not fit.
fn append(whole: &mut Option<FrameBuf>, bytes: &[u8]) {
    *whole = whole.take().and_then(|mut frame| {
        let start = frame.bytes().len();
        if !frame.set_range(0, start.saturating_add(bytes.len())) {
            return None;
        }
        frame.bytes_mut().get_mut(start..)?.copy_from_slice(bytes);
        Some(frame)
    });
}
