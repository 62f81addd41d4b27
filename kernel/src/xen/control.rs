//! What dom0 asks a guest to do: `xl shutdown`, `xl reboot`, `xl save`, `xl sysrq` and `xl mem-set`.
//!
//! The tools write the order to `control/shutdown`, or a letter to `control/sysrq`; the guest writes
//! nothing there in its turn, which says that it has heard, and then does it
//! (docs/misc/xenstore-paths.pandoc in Xen). How much memory the guest is to have stays where it is
//! written ([`mayfly_xen::balloon`]).

use alloc::{format, string::String, vec::Vec};

use mayfly_arch::hypercall::CAN_SUSPEND;
use mayfly_xen::{
    Suspended,
    balloon::{self, Balloon},
    store::{Store, StoreError},
};

use super::{awaited::Awaited, suspend::suspend};
use crate::{
    executor,
    memory::{self, Spare},
    power::{self, ExitStatus},
    time,
};

const SHUTDOWN: &str = "control/shutdown";
const SYSRQ: &str = "control/sysrq";
/// What is read when one of them may have changed.
const NODES: [&str; 4] = [SHUTDOWN, SYSRQ, balloon::TARGET, balloon::STATIC_MAX];
/// How many of them are orders.
const ORDERS: usize = 2;

/// What a guest may be told to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Order {
    PowerOff,
    Reboot,
    /// To stand still, and to go on when it is woken, perhaps elsewhere.
    Suspend,
    /// To end with a report.
    Crash,
    ShowTasks,
    ShowMemory,
}

impl Order {
    /// What is written to `path`.
    fn parse(path: &str, text: &str) -> Option<Self> {
        match (path, text) {
            (SHUTDOWN, "poweroff" | "halt") | (SYSRQ, "o") => Some(Self::PowerOff),
            (SHUTDOWN, "reboot") | (SYSRQ, "b") => Some(Self::Reboot),
            // Elsewhere, nothing of it is in the image.
            (SHUTDOWN, "suspend") if CAN_SUSPEND => Some(Self::Suspend),
            (SYSRQ, "c") => Some(Self::Crash),
            (SYSRQ, "t") => Some(Self::ShowTasks),
            (SYSRQ, "m") => Some(Self::ShowMemory),
            _ => None,
        }
    }

    /// Returns whether the guest is in another domain then.
    fn obey(self, store: &Store) -> bool {
        match self {
            Self::PowerOff => power::off(ExitStatus::SUCCESS),
            Self::Reboot => power::reboot(),
            Self::Crash => panic!("dom0 asked for it, by `xl sysrq`"),
            Self::Suspend => return CAN_SUSPEND && stand_still(store),
            Self::ShowTasks => _ = executor::tasks(|task| log::info!("{task}")),
            Self::ShowMemory => log::info!("memory: {}", memory::stats()),
        }
        false
    }
}

/// Suspends the guest. Returns whether it is in another domain when it goes on.
fn stand_still(store: &Store) -> bool {
    let suspended = suspend(store);
    match suspended {
        Ok(Suspended::Moved) => log::info!("resumed in another domain"),
        Ok(Suspended::Cancelled) => log::info!("not suspended after all"),
        Err(error) => log::error!("not suspended: {error}"),
    }
    suspended == Ok(Suspended::Moved)
}

/// Says what this guest understands, and does what it is told, once the app has the devices that it
/// waits for at first. Returns if XenStore fails.
pub(super) async fn obey(store: Store, awaited: Awaited, balloon: Balloon<Spare>) -> StoreError {
    match listen(&store, &awaited, balloon).await {
        Ok(never) => match never {},
        Err(error) => error,
    }
}

async fn listen(
    store: &Store,
    awaited: &Awaited,
    mut balloon: Balloon<Spare>,
) -> Result<core::convert::Infallible, StoreError> {
    let paths = NODES.map(String::from);
    balloon.ask(&store.read_each(&paths[ORDERS..]).await?);
    // A guest that begins with less memory than its map shows ends if the app uses the rest of it.
    if !balloon.has_work() {
        awaited.none().await;
    }
    let [orders, target] = ["control", balloon::TARGET].map(|path| store.watch(path));
    let mut watches = [orders.await?, target.await?];
    // In a new domain, nobody was told.
    let mut is_new = true;
    loop {
        if is_new {
            let features = ["poweroff", "reboot", "suspend"];
            let features = features.iter().take(if CAN_SUSPEND { 3 } else { 2 });
            let features = features.map(|name| (format!("control/feature-{name}"), "1".into()));
            // The tools ask all guests alike, and make these nodes for the guest to write.
            write(store, &features.collect::<Vec<_>>()).await?;
            is_new = false;
        }
        balloon.work_until(&mut watches, time::sleep).await?;
        let values = store.read_each(&paths).await?;
        balloon.ask(values.get(ORDERS..).unwrap_or_default());
        for (path, text) in paths.iter().zip(values).take(ORDERS) {
            let Some(text) = text.filter(|text| !text.is_empty()) else { continue };
            log::info!("asked for: {text}");
            write(store, &[(path.clone(), String::new())]).await?;
            match Order::parse(path, &text) {
                Some(order) => is_new |= order.obey(store),
                None => log::warn!("`{text}` is not something that this guest can do"),
            }
        }
    }
}

/// Writes nodes, which need not be there for this guest to write.
async fn write(store: &Store, nodes: &[(String, String)]) -> Result<(), StoreError> {
    match store.write_each(nodes).await {
        Err(StoreError::Denied | StoreError::NotFound) => Ok(()),
        result => result,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn orders_are_those_of_the_tools() {
        assert_eq!(Order::parse(SHUTDOWN, "poweroff"), Some(Order::PowerOff));
        assert_eq!(Order::parse(SHUTDOWN, "halt"), Some(Order::PowerOff));
        assert_eq!(Order::parse(SHUTDOWN, "reboot"), Some(Order::Reboot));
        assert_eq!(Order::parse(SHUTDOWN, "suspend"), None);
        assert_eq!(Order::parse(SHUTDOWN, "c"), None);
        assert_eq!(Order::parse(SYSRQ, "c"), Some(Order::Crash));
        assert_eq!(Order::parse(SYSRQ, "poweroff"), None);
    }
}
