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
/// Once it gets those of a new connection all the same, and then no others until it has let go. It
/// has to be so: Linux' blkback that had requests under way when a connection ended lets go of its
/// pages when the next one begins, not before (`xen_blkif_disconnect` and `frontend_changed` in
/// drivers/block/xen-blkback).
#[derive(Default)]
pub(super) enum Held {
    /// It has let go each time.
    #[default]
    Nothing,
    /// It had so many pages when it last got others, and there was no connection since.
    Before(usize),
    /// It has kept them during a whole connection.
    Owed,
}

impl Held {
    /// Takes note of how many pages of earlier connections the back end uses at the end of one.
    pub(super) fn look(&mut self, held: usize) {
        *self = match self {
            Self::Before(_) | Self::Owed if held > FEW => Self::Owed,
            _ => Self::Nothing,
        };
    }

    /// Waits until the back end has let go of enough for a new connection. `held` is how many pages
    /// it uses.
    ///
    /// # Errors
    /// [`BusError::Closed`] if it goes away instead, [`BusError::Gone`] if the device is detached.
    pub(super) async fn wait(
        &mut self,
        link: &Link,
        held: &dyn Fn() -> usize,
        sleep: &Sleep,
        is_told: bool,
    ) -> Result<(), BusError> {
        let limit = match self {
            Self::Nothing => usize::MAX,
            // What it has of a connection that came to nothing.
            Self::Before(count) => *count + FEW,
            Self::Owed => FEW,
        };
        let mut patience = PATIENCE;
        while held() > FEW && (patience > 0 || held() > limit) {
            if patience == 1 && held() > limit && is_told {
                let held = held();
                log::warn!(
                    "{link}: its back end still uses {held} pages of before; it must let go"
                );
            }
            patience = patience.saturating_sub(1);
            sleep(PAUSE).await;
            if link.look().await?.state != State::InitWait {
                return Err(BusError::Closed);
            }
        }
        *self = match (held(), &self) {
            (0..=FEW, _) => Self::Nothing,
            (_, Self::Before(count)) => Self::Before(*count),
            (held, _) => Self::Before(held),
        };
        Ok(())
    }
}
