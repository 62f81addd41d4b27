//! What the handles of a disk, its operations and its runner share.

use alloc::{boxed::Box, collections::VecDeque, vec::Vec};
use core::{
    cell::RefCell,
    task::{Context, Poll, Waker},
};

use mayfly_device::{
    BlockBuffer, BlockDevice, BlockInfo, BlockOperation, BlockRequest, Completion, DeviceError,
};

use super::Error;

/// Buffers that are kept for the next request, and how large they may be. Enough to spare small
/// transfers the allocation, and to be of no consequence to the heap.
const MAX_SPARE: usize = 4;
const MAX_SPARE_SIZE: usize = 4096;

/// How a request ended: its buffer, if it had one.
pub(super) type Outcome = Result<Option<BlockBuffer>, Error>;

/// A disk.
pub(super) struct Shared {
    pub(super) info: BlockInfo,
    state: RefCell<State>,
}

struct State {
    device: Box<dyn BlockDevice>,
    /// Indexed by the id of the request.
    slots: Vec<Slot>,
    /// Requests for which the device's queue had no room.
    backlog: VecDeque<BlockRequest>,
    spare: Vec<BlockBuffer>,
    /// The runner, when it waits.
    runner: Option<Waker>,
    /// Something was queued, or is in the backlog, since the runner last ran.
    queued: bool,
    /// Why the device is not used any more.
    gone: Option<DeviceError>,
}

/// What is known about the request with a certain id.
enum Slot {
    Free,
    /// Under way; its task waits, if it has been polled.
    Waiting(Option<Waker>),
    /// Under way; nobody is interested any more.
    Abandoned,
    Done(Outcome),
}

impl Shared {
    pub(super) fn new(device: Box<dyn BlockDevice>) -> Self {
        let state = State {
            slots: Vec::new(),
            backlog: VecDeque::new(),
            spare: Vec::new(),
            runner: None,
            queued: false,
            gone: None,
            device,
        };
        Self { info: state.device.info(), state: RefCell::new(state) }
    }

    /// A buffer of `size` bytes with anything in it.
    pub(super) fn buffer(&self, size: usize) -> Option<BlockBuffer> {
        let spare = &mut self.state.borrow_mut().spare;
        match spare.iter().position(|buffer| buffer.len() == size) {
            Some(index) => Some(spare.swap_remove(index)),
            None => BlockBuffer::zeroed(size),
        }
    }

    /// Takes back a buffer that is not needed any more.
    pub(super) fn recycle(&self, buffer: BlockBuffer) {
        let spare = &mut self.state.borrow_mut().spare;
        let is_kept = spare.len() < MAX_SPARE && buffer.len() <= MAX_SPARE_SIZE;
        if is_kept && spare.try_reserve(1).is_ok() {
            spare.push(buffer);
        }
    }

    /// Queues a request and returns its id, under which the outcome can be had.
    pub(super) fn start(&self, sector: u64, operation: BlockOperation) -> Result<u64, Error> {
        let mut state = self.state.borrow_mut();
        if let Some(error) = state.gone {
            return Err(error.into());
        }
        let id = state.free_slot()?;
        let request = BlockRequest { id, sector, operation };
        // The backlog first: requests reach the device in the order in which they were made.
        if !state.backlog.is_empty() {
            state.backlog.push_back(request);
        } else if let Err(request) = state.device.submit(request) {
            state.backlog.push_back(request);
        }
        state.queued = true;
        if let Some(runner) = state.runner.take() {
            runner.wake();
        }
        Ok(id)
    }

    /// Ready with the outcome of a request, once.
    pub(super) fn poll_outcome(&self, id: u64, cx: &mut Context<'_>) -> Poll<Outcome> {
        let mut state = self.state.borrow_mut();
        let Some(slot) = state.slot(id) else {
            return Poll::Ready(Err(DeviceError::Protocol.into()));
        };
        match slot {
            Slot::Waiting(waker) => {
                *waker = Some(cx.waker().clone());
                Poll::Pending
            }
            Slot::Done(_) => match core::mem::replace(slot, Slot::Free) {
                Slot::Done(outcome) => Poll::Ready(outcome),
                _ => Poll::Pending,
            },
            Slot::Free | Slot::Abandoned => Poll::Ready(Err(DeviceError::Protocol.into())),
        }
    }

    /// Lets go of a request whose outcome nobody waits for any more.
    pub(super) fn abandon(&self, id: u64) {
        if let Some(slot) = self.state.borrow_mut().slot(id) {
            *slot = match slot {
                Slot::Waiting(_) => Slot::Abandoned,
                _ => Slot::Free,
            };
        }
    }

    /// Tells the device of new requests and takes its answers. Ready when the device is gone.
    pub(super) fn poll_runner(&self, cx: &mut Context<'_>) -> Poll<DeviceError> {
        let mut state = self.state.borrow_mut();
        loop {
            while let Some(completion) = state.device.complete() {
                state.finish(completion);
            }
            state.submit_backlog();
            if core::mem::take(&mut state.queued) {
                state.device.flush_queue();
            }
            match state.device.poll_ready(cx) {
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(error)) => {
                    state.give_up(error);
                    return Poll::Ready(error);
                }
                Poll::Pending => {
                    state.runner = Some(cx.waker().clone());
                    return Poll::Pending;
                }
            }
        }
    }
}

impl State {
    fn slot(&mut self, id: u64) -> Option<&mut Slot> {
        self.slots.get_mut(usize::try_from(id).ok()?)
    }

    /// Marks a slot as waiting, and makes sure that the backlog has room for its request.
    fn free_slot(&mut self) -> Result<u64, Error> {
        self.backlog.try_reserve(1).map_err(|_| Error::OutOfMemory)?;
        let free = self.slots.iter().position(|slot| matches!(slot, Slot::Free));
        let index = match free {
            Some(index) => index,
            None => {
                self.slots.try_reserve(1).map_err(|_| Error::OutOfMemory)?;
                self.slots.push(Slot::Free);
                self.slots.len() - 1
            }
        };
        if let Some(slot) = self.slots.get_mut(index) {
            *slot = Slot::Waiting(None);
        }
        Ok(index as u64)
    }

    /// Delivers an answer.
    fn finish(&mut self, completion: Completion) {
        let Completion { id, buffer, result } = completion;
        let Some(slot) = self.slot(id) else {
            return;
        };
        match core::mem::replace(slot, Slot::Free) {
            Slot::Waiting(waker) => {
                *slot = Slot::Done(result.map(|()| buffer).map_err(Error::Device));
                if let Some(waker) = waker {
                    waker.wake();
                }
            }
            Slot::Done(outcome) => *slot = Slot::Done(outcome),
            Slot::Abandoned | Slot::Free => {}
        }
    }

    /// Moves requests from the backlog to the device, without those that nobody waits for.
    fn submit_backlog(&mut self) {
        while let Some(request) = self.backlog.pop_front() {
            if let Some(slot @ Slot::Abandoned) = self.slot(request.id) {
                *slot = Slot::Free;
                continue;
            }
            if let Err(request) = self.device.submit(request) {
                self.backlog.push_front(request);
                return;
            }
            self.queued = true;
        }
    }

    /// Fails everything that is under way, now and later.
    fn give_up(&mut self, error: DeviceError) {
        self.gone = Some(error);
        self.backlog.clear();
        for slot in &mut self.slots {
            match core::mem::replace(slot, Slot::Free) {
                Slot::Waiting(waker) => {
                    *slot = Slot::Done(Err(error.into()));
                    if let Some(waker) = waker {
                        waker.wake();
                    }
                }
                Slot::Done(outcome) => *slot = Slot::Done(outcome),
                Slot::Abandoned | Slot::Free => {}
            }
        }
    }
}
