//! The devices that XenStore tells of.

use alloc::{boxed::Box, string::String, vec::Vec};
use core::{pin::pin, time::Duration};

use mayfly_device::{BlockDevice, NetDevice};
use mayfly_xen::{
    block,
    bus::{self, ConnectError, Minder},
    net,
    store::{Store, StoreError},
};

use super::not_used;
use crate::{
    chart,
    config::System,
    memory, time,
    xen::{Detached, Xen},
};

/// Pages of memory that a disk may keep for its back end: so many of 32 MiB and more, and a part of
/// less.
const MOST_KEPT: usize = 512;
const KEPT_SHARE: usize = 16;

/// How long a back end may take until the log tells of it: more than the tools in dom0 need on a busy
/// machine.
const PATIENCE: Duration = Duration::from_secs(10);

/// A device by the directory of its front end.
#[derive(Clone, Debug)]
pub(crate) struct Found {
    store: Store,
    directory: String,
    queues: usize,
    detached: Detached,
}

/// How many queues a device of Xen is to have, by the command line: one, because there is one
/// processor, unless it says otherwise.
fn queues(command_line: &str) -> usize {
    let Some(text) = System::parse(command_line).queues else { return 1 };
    text.parse().ok().filter(|count| *count > 0).unwrap_or_else(|| {
        log::warn!("xen.queues={text} is no number of queues; devices get one");
        1
    })
}

impl Xen {
    /// The devices of a class, such as `vif`, that the guest has at the moment.
    ///
    /// # Errors
    /// If XenStore fails.
    pub(crate) async fn devices(
        &self,
        class: &str,
        command_line: &str,
    ) -> Result<Vec<super::Found>, StoreError> {
        let directories = bus::devices(&self.store(), class).await?;
        Ok(directories.into_iter().map(self.finder(command_line)).collect())
    }

    /// What makes a device of the directory of its front end.
    pub(crate) fn finder(&self, command_line: &str) -> impl Fn(String) -> super::Found + use<> {
        let queues = queues(command_line);
        let (store, detached) = (self.store(), self.detached().clone());
        move |directory| {
            let (store, detached) = (store.clone(), detached.clone());
            super::Found::Xen(Found { store, directory, queues, detached })
        }
    }
}

impl Found {
    /// The directory of its front end.
    pub(crate) fn directory(&self) -> &str {
        &self.directory
    }

    /// Connects a network card, as soon as its back end is ready.
    pub(super) async fn start_net(self) -> Option<Box<dyn NetDevice>> {
        let sharing = mayfly_xen::sharing()?;
        let connecting = net::start(&self.store, sharing, &self.directory, self.queues);
        let started = self.patiently(connecting).await;
        chart::mark("netfront");
        self.watch_over("netfront", started)
    }

    /// Connects a disk, as soon as its back end is ready.
    pub(super) async fn start_block(self) -> Option<Box<dyn BlockDevice>> {
        let sharing = mayfly_xen::sharing()?;
        let budget = MOST_KEPT.min(memory::stats().total_frames / KEPT_SHARE);
        let connecting = block::start(&self.store, sharing, &self.directory, budget, self.queues);
        let started = self.patiently(connecting).await;
        chart::mark("blkfront");
        self.watch_over("blkfront", started)
    }

    /// Waits for the device to connect. The log tells when that takes long, as an app that waits for
    /// it says nothing.
    async fn patiently<T>(&self, connecting: impl Future<Output = T>) -> T {
        let mut connecting = pin!(connecting);
        if let Ok(started) = time::timeout(PATIENCE, connecting.as_mut()).await {
            return started;
        }
        log::warn!(
            "{}: its back end has not connected for {} s; what it waits for may be seen in dom0: \
             xenstore-ls /local/domain/0/backend",
            self.directory,
            PATIENCE.as_secs()
        );
        connecting.await
    }

    /// Starts the task that watches over a device, or says in the log why there is none.
    fn watch_over<D>(
        self,
        task: &'static str,
        started: Result<(D, Minder), ConnectError>,
    ) -> Option<D> {
        let name = format_args!("{}", self.directory);
        let (device, minder) = started.map_err(|error| not_used(name, &error)).ok()?;
        self.detached.mind(task, self.directory, minder);
        Some(device)
    }
}
