//! What a guest of Xen has beside its devices: XenStore.
//!
//! XenStore is a small tree of values that dom0 keeps for all domains. A guest finds there what its
//! devices are, and can tell others about itself below its own `data`. Paths without `/` at their
//! beginning are relative to the guest's own directory.
//!
//! ```no_run
//! # async fn example(machine: mayfly::Machine) -> mayfly::Result {
//! let xen = machine.xen().ok_or("this app needs Xen")?;
//! let store = xen.store();
//! mayfly::println!("I am {}, domain {}", store.read_text("name").await?, xen.domain().await?);
//! store.write("data/ready", "1").await?;
//!
//! // Both or none, and nobody sees one without the other.
//! store
//!     .transaction(async |t| {
//!         let count: u32 = t.read_number("data/count").await.unwrap_or(0);
//!         t.write("data/count", (count + 1).to_string()).await?;
//!         t.write("data/state", "busy").await
//!     })
//!     .await?;
//!
//! let mut watch = store.watch("control/shutdown").await?;
//! loop {
//!     watch.next().await?;
//!     if store.read("control/shutdown").await.is_ok_and(|value| !value.is_empty()) {
//!         return Ok(());
//!     }
//! }
//! # }
//! ```
//!
//! `xl shutdown`, `xl reboot`, `xl mem-set` and `xl sysrq` are obeyed by every app whose main function
//! takes the machine, a second after its start at the latest; `xl destroy` always works. The letters
//! of `xl sysrq` are `t` for what the tasks wait for, `m` for the memory, `c` for a report and the
//! end, `b` for a reboot and `o` for the end.

mod awaited;
mod conduit;
mod console;
mod control;
mod handover;
mod minding;
mod names;
mod suspend;
mod vchan;
mod watchdog;

use core::fmt;

pub use mayfly_xen::store::{
    Access, ErrorName, Nodes, Permissions, Reply, Store, StoreError, Transaction, Watch,
};

pub use conduit::{Conduit, ConduitError, ConduitRequest, ConduitRequests};
pub use console::{Channel, ChannelError};
#[cfg(feature = "fake")]
#[doc(hidden)]
pub use handover::read_lines;
pub use vchan::{ReadHalf, RingSizes, Vchan, VchanError, VchanListener, WriteHalf};
pub use watchdog::Watchdog;

pub(crate) use awaited::AwaitedDevice;
pub(crate) use minding::Detached;

use awaited::Awaited;
use mayfly_xen::{balloon::Balloon, store::FoundStore};

use crate::{executor, memory, time};

/// Xen, as this guest has it. Clones are handles to the same one.
#[derive(Clone)]
pub struct Xen {
    store: Store,
    detached: Detached,
    awaited: Awaited,
}

impl Xen {
    /// Connects with XenStore. `None` if there is no memory for it. The guest's memory map shows
    /// `total` bytes of memory.
    pub(crate) fn start(found: FoundStore, total: u64) -> Option<Self> {
        let (store, driver) = found.start()?;
        executor::spawn_essential("xenstore", async {
            let error = driver.await;
            log::error!("{error}");
        })
        .detach();
        let awaited = Awaited::default();
        let orders =
            control::obey(store.clone(), awaited.clone(), Balloon::new(memory::Spare, total));
        executor::spawn_essential("control", orders).detach();
        if let Some(sharing) = mayfly_xen::sharing() {
            executor::spawn_essential("grants", sharing.grants.tend_deferred(time::sleep)).detach();
        }
        Some(Self { store, detached: Detached::default(), awaited })
    }

    /// XenStore.
    pub fn store(&self) -> Store {
        self.store.clone()
    }

    /// The devices that were detached.
    pub(crate) fn detached(&self) -> &Detached {
        &self.detached
    }

    /// The app waits for a device as long as there is what this returns.
    pub(crate) fn await_device(&self) -> AwaitedDevice {
        self.awaited.add()
    }

    /// The number of this domain.
    ///
    /// # Errors
    /// [`StoreError`]
    pub async fn domain(&self) -> Result<u16, StoreError> {
        self.store.read_number("domid").await
    }
}

impl fmt::Debug for Xen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Xen").finish_non_exhaustive()
    }
}
