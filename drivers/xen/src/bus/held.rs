//! Pages of connections that are over, which a back end still uses.

use core::time::Duration;

use super::{BusError, Link, minder::Sleep, state::State};

/// Pages that a back end may still use when it gets those of a new connection.
const FEW: usize = 64;

/// How long, in [`PAUSE`]s, a back end may take to let go of more than that.
const PATIENCE: u32 = 10;

/// How often such a back end is looked at.
const PAUSE: Duration = Duration::from_millis(100);

/// Bounds how many pages a back end can keep: one that kept those of each connection would have all
/// memory in the end.
///
/// It gets those of a new connection although it has some of the last one, but not while it still has
/// some of one before that. It has to be so: Linux' blkback that had requests under way when a
/// connection ended lets go of its pages when the next one begins, not before
/// (`xen_blkif_disconnect` and `frontend_changed` in drivers/block/xen-blkback).
///
/// What is counted are pages of all devices whose back ends are in the same domain.
#[derive(Default)]
pub(super) struct Held {
    /// How many pages had ever been kept when the device was connected the last time: those before
    /// are of the connection before that, or older.
    mark: u64,
    /// How many the back end had at the first try to connect since then.
    tried: Option<usize>,
}

impl Held {
    /// The device is connected. `deferrals` is how many pages have ever been kept.
    pub(super) fn connected(&mut self, deferrals: u64) {
        *self = Self { mark: deferrals, tried: None };
    }

    /// Waits until the back end has let go of enough for a new connection. `held` is how many pages
    /// it has of those before a number.
    ///
    /// # Errors
    /// [`BusError::Closed`] if it goes away instead, [`BusError::Gone`] if the device is detached.
    pub(super) async fn wait(
        &mut self,
        link: &Link,
        held: &dyn Fn(u64) -> usize,
        sleep: &Sleep,
        is_told: bool,
    ) -> Result<(), BusError> {
        // Connections that came to nothing leave pages as well.
        let limit = self.tried.map_or(usize::MAX, |count| count.saturating_add(FEW));
        let has_too_many = || held(self.mark) > FEW || held(u64::MAX) > limit;
        let mut patience = PATIENCE;
        while held(u64::MAX) > FEW && (patience > 0 || has_too_many()) {
            if patience == 1 && has_too_many() && is_told {
                let count = held(u64::MAX);
                log::warn!(
                    "{link}: its back end still uses {count} pages of before; it must let go"
                );
            }
            patience = patience.saturating_sub(1);
            sleep(PAUSE).await;
            if link.look().await?.state != State::InitWait {
                return Err(BusError::Closed);
            }
        }
        self.tried.get_or_insert(held(u64::MAX));
        Ok(())
    }
}
