//! Devices that come while the guest runs.
//!
//! They connect beside each other: a back end that never answers keeps its own device waiting, and no
//! other.

use alloc::{boxed::Box, rc::Rc, string::String, vec::Vec};
use core::{
    fmt,
    future::poll_fn,
    slice,
    task::{Context, Poll},
    time::Duration,
};

use mayfly_device::Boxed;

use super::{Sleep, devices};
use crate::store::{Store, StoreError, Watch, poll_any};

/// How long a device that did not work is left alone: what is left of it may have to be cleared away.
/// It doubles with each try, so that one that never works does not fill the log.
const PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(16);

/// What starts the device of a front end's directory, as soon as its back end is ready. It gives
/// `None` if the device does not work.
pub type Start<D> = dyn Fn(String) -> Boxed<'static, Option<D>>;

/// The devices of a class that come while the guest runs, on their way. `D` is what comes of one.
pub struct Arrivals<D> {
    store: Store,
    class: &'static str,
    /// Of all directories of the class.
    watch: Watch,
    start: Rc<Start<D>>,
    sleep: Rc<Sleep>,
    coming: Vec<Coming<D>>,
}

/// A device that does not work yet.
struct Coming<D> {
    directory: String,
    device: Boxed<'static, D>,
}

impl<D: 'static> Arrivals<D> {
    /// Devices of this class, such as `vif`, which are started by `start`. `sleep` waits while one
    /// that did not work is left alone.
    ///
    /// # Errors
    /// If XenStore fails.
    pub async fn new(
        store: &Store,
        class: &'static str,
        start: Rc<Start<D>>,
        sleep: Rc<Sleep>,
    ) -> Result<Self, StoreError> {
        let watch = store.watch(&alloc::format!("device/{class}")).await?;
        Ok(Self { store: store.clone(), class, watch, start, sleep, coming: Vec::new() })
    }

    /// The next device that works, and its directory. `new` leaves of the directories that there are
    /// those of devices that nobody has got yet.
    ///
    /// Dropped, this loses nothing: the devices that are on their way wait where they are for the
    /// next call.
    ///
    /// # Errors
    /// If XenStore fails.
    pub async fn next(
        &mut self,
        new: impl Fn(Vec<String>) -> Vec<String>,
    ) -> Result<(String, D), StoreError> {
        loop {
            // At first, too: some may have come before the watch, or since the last call.
            let there = devices(&self.store, self.class).await?;
            self.look(new(there));
            if let Some(device) = poll_fn(|cx| self.poll(cx)).await? {
                return Ok(device);
            }
        }
    }

    /// Gives up the devices that are gone, and begins with those that have come.
    fn look(&mut self, new: Vec<String>) {
        self.coming.retain(|coming| new.contains(&coming.directory));
        for directory in new {
            if self.coming.iter().all(|coming| coming.directory != directory) {
                let (start, sleep) = (Rc::clone(&self.start), Rc::clone(&self.sleep));
                let device = keep_trying(start, sleep, directory.clone());
                self.coming.push(Coming { directory, device });
            }
        }
    }

    /// Goes on with all devices. The first that works, if there is one, or `None` if it is time to
    /// look at the directories.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<(String, D)>, StoreError>> {
        for (index, coming) in self.coming.iter_mut().enumerate() {
            if let Poll::Ready(device) = coming.device.as_mut().poll(cx) {
                let directory = self.coming.remove(index).directory;
                return Poll::Ready(Ok(Some((directory, device))));
            }
        }
        poll_any(slice::from_mut(&mut self.watch), cx).map_ok(|()| None)
    }
}

/// Starts a device, again and again until it works.
fn keep_trying<D: 'static>(
    start: Rc<Start<D>>,
    sleep: Rc<Sleep>,
    directory: String,
) -> Boxed<'static, D> {
    Box::pin(async move {
        let mut pause = PAUSE;
        loop {
            if let Some(device) = start(directory.clone()).await {
                return device;
            }
            sleep(pause).await;
            pause = LONGEST_PAUSE.min(2 * pause);
        }
    })
}

impl<D> fmt::Debug for Arrivals<D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Arrivals").field("class", &self.class).finish_non_exhaustive()
    }
}
