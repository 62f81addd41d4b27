//! One request under way.

use alloc::rc::Rc;
use core::{
    pin::Pin,
    task::{Context, Poll},
};

use mayfly_device::BlockOperation;

use super::{
    Error,
    shared::{Outcome, Shared},
};
use crate::executor::{self, Awaiting};

/// A request that was queued: await it for its outcome, drop it to ignore that.
pub(super) struct Operation {
    disk: Rc<Shared>,
    /// `None` once the outcome was taken.
    id: Option<u64>,
}

impl Operation {
    /// Queues a request, which the caller has checked.
    pub(super) fn start(
        disk: &Rc<Shared>,
        sector: u64,
        operation: BlockOperation,
    ) -> Result<Self, Error> {
        let id = disk.start(sector, operation)?;
        Ok(Self { disk: Rc::clone(disk), id: Some(id) })
    }
}

impl Future for Operation {
    type Output = Outcome;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Outcome> {
        let Some(id) = self.id else {
            panic!("a disk operation was polled after it had ended");
        };
        let outcome = self.disk.poll_outcome(id, cx);
        match outcome {
            Poll::Ready(_) => self.id = None,
            Poll::Pending => executor::describe(Awaiting::new("disk request {}", id)),
        }
        outcome
    }
}

impl Drop for Operation {
    fn drop(&mut self) {
        if let Some(id) = self.id {
            self.disk.abandon(id);
        }
    }
}
