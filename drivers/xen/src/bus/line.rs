//! What a device of Xen hears, and who watches over it.

use alloc::{rc::Rc, sync::Arc};
use core::{cell::Cell, task::Context};

use mayfly_device::{InterruptHandler, Signal};

use super::{BusError, ConnectError, Connected, Frontend};
use crate::event_channel::EventChannel;

/// What a device hears: the events of its channel, and that its back end is gone.
#[derive(Clone)]
pub(crate) struct Line {
    signal: Arc<Raise>,
    is_connected: Rc<Cell<bool>>,
}

struct Raise(Signal);

impl InterruptHandler for Raise {
    fn interrupt(&self) {
        self.0.raise();
    }
}

impl Line {
    /// Listens to a channel.
    ///
    /// # Errors
    /// If there is no memory for that.
    pub(crate) fn new(channel: &EventChannel) -> Result<Self, ConnectError> {
        let signal = Arc::new(Raise(Signal::new()));
        if !channel.listen(Arc::clone(&signal) as _) {
            return Err(ConnectError::OutOfMemory);
        }
        Ok(Self { signal, is_connected: Rc::new(Cell::new(true)) })
    }

    /// Wakes the task of `cx` when there is something to hear from now on.
    pub(crate) fn watch(&self, cx: &mut Context<'_>) {
        self.signal.0.watch(cx);
    }

    /// Whether the back end is there.
    pub(crate) fn is_connected(&self) -> bool {
        self.is_connected.get()
    }
}

/// Watches over a device: see [`run`](Self::run).
pub struct Minder {
    frontend: Frontend<Connected>,
    line: Line,
}

impl Minder {
    /// Watches over the device that hears this.
    pub(crate) fn new(frontend: Frontend<Connected>, line: Line) -> Self {
        Self { frontend, line }
    }

    /// Where the device is.
    pub(crate) fn link(&self) -> &super::Link {
        self.frontend.link()
    }

    /// Tells the device when its back end goes away. Ends then, with the reason.
    pub async fn run(mut self) -> BusError {
        let reason = self.frontend.lost().await.unwrap_or_else(|error| error);
        self.line.is_connected.set(false);
        self.line.signal.0.raise();
        // If the store does not answer either, there is nothing more to be done.
        let _ = self.frontend.close().await;
        reason
    }
}
