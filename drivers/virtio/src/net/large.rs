//! Large buffers for the receive queue.

use alloc::rc::Rc;

use mayfly_device::{FrameBuf, FramePool, PagePool};

use super::{BUFFER_SIZE, LARGE_BUFFER_SIZE};

/// Large buffers in the queue while long packets come, one of which the stack may hold: the device
/// fills some while the stack empties another one.
pub(super) const MAX_LARGE: usize = 5;

/// How many small buffers one of them stands for.
pub(super) const LARGE_UNITS: usize = LARGE_BUFFER_SIZE / BUFFER_SIZE;

/// Where large buffers come from. There are no more than [`MAX_LARGE`] at any time, whoever holds
/// them.
pub(super) struct LargePool {
    pool: Rc<PagePool>,
    has_memory: bool,
}

impl LargePool {
    /// An empty one, which takes no memory before it is needed.
    pub(super) fn new() -> Self {
        Self { pool: Rc::new(Self::empty()), has_memory: false }
    }

    const fn empty() -> PagePool {
        PagePool::new(LARGE_BUFFER_SIZE, MAX_LARGE)
    }

    /// A large buffer. `None` if all are out, or if there is no memory for one more.
    pub(super) fn allocate(&mut self) -> Option<FrameBuf> {
        self.has_memory = true;
        let pool: Rc<dyn FramePool> = Rc::clone(&self.pool) as _;
        FrameBuf::allocate(&pool, 0)
    }

    /// Whether buffers, or memory for them, may be out.
    #[inline]
    pub(super) fn has_memory(&self) -> bool {
        self.has_memory
    }

    /// Gives the memory back to the heap, unless somebody still has one of the buffers.
    #[cold]
    pub(super) fn release_memory(&mut self) {
        // A buffer that is out refers to the pool.
        if let Some(pool) = Rc::get_mut(&mut self.pool) {
            *pool = Self::empty();
            self.has_memory = false;
        }
    }
}

/// Whether this is one of the large buffers.
#[inline]
pub(super) fn is_large(buffer: &FrameBuf) -> bool {
    buffer.whole().len() > BUFFER_SIZE
}
