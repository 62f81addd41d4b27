//! The store of this guest, as Xen's tools have made it.

use core::{
    sync::atomic::{AtomicU32, Ordering},
    task::Context,
};

use mayfly_device::{InterruptHandler, Signal};

use super::{Store, StoreError, connect, driver::Channel};
use crate::{
    events::{EventChannels, Port},
    hypercalls,
    shared_page::SharedPage,
};

/// The store, before anybody uses it.
pub struct FoundStore {
    page: SharedPage,
    port: Port,
    events: &'static EventChannels,
}

impl FoundStore {
    pub(crate) fn new(page: SharedPage, port: Port, events: &'static EventChannels) -> Self {
        Self { page, port, events }
    }

    /// Connects with the store: a handle, and the driver, which must run for the handle to do
    /// anything, and ends only when the connection does, by the error that it returns. `None` if
    /// there is no memory for that.
    pub fn start(self) -> Option<(Store, impl Future<Output = StoreError>)> {
        LINE.listen(self.port, self.events).then(|| connect(self.page, EventLine))
    }
}

impl Store {
    /// The store has another event channel, as the guest is in another domain: another connection,
    /// whose rings begin anew. All watches are registered again, requests that were not answered are
    /// asked again, and transactions begin anew.
    pub(crate) fn resume(&self, port: Port, events: &EventChannels) {
        if !LINE.listen(port, events) {
            log::error!("no memory is left to hear of XenStore");
        }
        self.resume_requests();
    }
}

static LINE: Line = Line { signal: Signal::new(), port: AtomicU32::new(0) };

/// From the event channel to the task.
struct Line {
    signal: Signal,
    /// The number of the channel.
    port: AtomicU32,
}

impl Line {
    /// Is about this channel from now on. Returns false if there is no memory for that.
    fn listen(&'static self, port: Port, events: &EventChannels) -> bool {
        self.port.store(port.number(), Ordering::Relaxed);
        events.listen(port, self)
    }
}

impl InterruptHandler for Line {
    fn interrupt(&self) {
        self.signal.raise();
    }
}

/// The event channel, for the driver.
struct EventLine;

impl Channel for EventLine {
    fn notify(&self) {
        // The channel is there as long as the guest, and there is nobody to tell of an error.
        let _ = hypercalls::send(LINE.port.load(Ordering::Relaxed));
    }

    fn watch(&self, cx: &mut Context<'_>) {
        LINE.signal.watch(cx);
    }
}
