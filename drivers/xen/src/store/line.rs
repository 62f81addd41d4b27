//! The store of this guest, as Xen's tools have made it.

use core::task::Context;

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
        self.events.listen(self.port, &LINE).then(|| connect(self.page, EventLine(self.port)))
    }
}

static LINE: Line = Line(Signal::new());

/// From the event channel to the task.
struct Line(Signal);

impl InterruptHandler for Line {
    fn interrupt(&self) {
        self.0.raise();
    }
}

/// The event channel, for the driver.
struct EventLine(Port);

impl Channel for EventLine {
    fn notify(&self) {
        // The channel is there as long as the guest, and there is nobody to tell of an error.
        let _ = hypercalls::send(self.0.number());
    }

    fn watch(&self, cx: &mut Context<'_>) {
        LINE.0.watch(cx);
    }
}
