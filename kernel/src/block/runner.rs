//! The task that serves a disk's device.

use alloc::rc::Rc;
use core::future::poll_fn;

use super::shared::Shared;
use crate::executor::{self, Awaiting};

/// Serves the device until it is gone.
pub(super) async fn run(disk: Rc<Shared>) {
    let error = poll_fn(|cx| {
        let result = disk.poll_runner(cx);
        if result.is_pending() {
            executor::describe(Awaiting::new("disk requests and answers", 0));
        }
        result
    })
    .await;
    log::error!("disk: {error}");
}
