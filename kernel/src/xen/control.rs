//! What dom0 asks a guest to do: `xl shutdown` and `xl reboot`.
//!
//! The tools write the order to `control/shutdown`; the guest writes nothing there in its turn, which
//! says that it has heard, and then does it (docs/misc/xenstore-paths.pandoc in Xen).

use mayfly_xen::store::{Store, StoreError};

use crate::power::{self, ExitStatus};

const ORDER: &str = "control/shutdown";

/// What a guest may be told to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Order {
    PowerOff,
    Reboot,
}

impl Order {
    fn parse(text: &str) -> Option<Self> {
        match text {
            "poweroff" | "halt" => Some(Self::PowerOff),
            "reboot" => Some(Self::Reboot),
            _ => None,
        }
    }
}

/// Says what this guest understands, and waits for an order. Returns if XenStore fails.
pub(super) async fn obey(store: Store) -> StoreError {
    match listen(&store).await {
        Ok(Order::PowerOff) => power::off(ExitStatus::SUCCESS),
        Ok(Order::Reboot) => power::reboot(),
        Err(error) => error,
    }
}

async fn listen(store: &Store) -> Result<Order, StoreError> {
    for feature in ["control/feature-poweroff", "control/feature-reboot"] {
        // The tools ask all guests alike, and make these nodes for the guest to write.
        match store.write(feature, "1").await {
            Ok(()) | Err(StoreError::Denied | StoreError::NotFound) => {}
            Err(error) => return Err(error),
        }
    }
    let mut watch = store.watch(ORDER).await?;
    loop {
        watch.next().await?;
        let text = match store.read_text(ORDER).await {
            Err(StoreError::NotFound | StoreError::Denied | StoreError::Invalid) => continue,
            text => text?,
        };
        if text.is_empty() {
            continue;
        }
        log::info!("asked for: {text}");
        store.write(ORDER, "").await?;
        match Order::parse(&text) {
            Some(order) => return Ok(order),
            None => log::warn!("`{text}` is not something that this guest can do"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn orders_are_those_of_the_tools() {
        assert_eq!(Order::parse("poweroff"), Some(Order::PowerOff));
        assert_eq!(Order::parse("halt"), Some(Order::PowerOff));
        assert_eq!(Order::parse("reboot"), Some(Order::Reboot));
        assert_eq!(Order::parse("suspend"), None);
    }
}
