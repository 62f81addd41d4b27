//! What dom0 asks a guest to do: `xl shutdown`, `xl reboot` and `xl sysrq`.
//!
//! The tools write the order to `control/shutdown`, or a letter to `control/sysrq`; the guest writes
//! nothing there in its turn, which says that it has heard, and then does it
//! (docs/misc/xenstore-paths.pandoc in Xen).

use alloc::{string::String, vec::Vec};

use mayfly_xen::store::{Store, StoreError};

use crate::{
    executor, memory,
    power::{self, ExitStatus},
};

const SHUTDOWN: &str = "control/shutdown";
const SYSRQ: &str = "control/sysrq";

/// What a guest may be told to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Order {
    PowerOff,
    Reboot,
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
            (SYSRQ, "c") => Some(Self::Crash),
            (SYSRQ, "t") => Some(Self::ShowTasks),
            (SYSRQ, "m") => Some(Self::ShowMemory),
            _ => None,
        }
    }

    fn obey(self) {
        match self {
            Self::PowerOff => power::off(ExitStatus::SUCCESS),
            Self::Reboot => power::reboot(),
            Self::Crash => panic!("dom0 asked for it, by `xl sysrq`"),
            Self::ShowTasks => _ = executor::tasks(|task| log::info!("{task}")),
            Self::ShowMemory => log::info!("memory: {}", memory::stats()),
        }
    }
}

/// Says what this guest understands, and does what it is told. Returns if XenStore fails.
pub(super) async fn obey(store: Store) -> StoreError {
    match listen(&store).await {
        Ok(never) => match never {},
        Err(error) => error,
    }
}

async fn listen(store: &Store) -> Result<core::convert::Infallible, StoreError> {
    let features = ["control/feature-poweroff", "control/feature-reboot"];
    let features: Vec<_> = features.into_iter().map(|path| (path.into(), "1".into())).collect();
    // The tools ask all guests alike, and make these nodes for the guest to write.
    write(store, &features).await?;
    let mut watch = store.watch("control").await?;
    loop {
        watch.next().await?;
        let paths = [SHUTDOWN, SYSRQ];
        let values = store.read_each(&paths.map(String::from)).await?;
        for (path, text) in paths.into_iter().zip(values) {
            let Some(text) = text.filter(|text| !text.is_empty()) else { continue };
            log::info!("asked for: {text}");
            write(store, &[(path.into(), String::new())]).await?;
            match Order::parse(path, &text) {
                Some(order) => order.obey(),
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
