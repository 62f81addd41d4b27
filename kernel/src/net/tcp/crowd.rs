//! Too many at once: who takes long is given up, to make room for others.
//!
//! Not at the moment when there are too many, but a little later, when all is taken in that has come
//! until then. A guest whose host has given its processor to others for some seconds finds requests
//! of new clients among the answers of old ones, in any order; an old one that has answered in time
//! must not be reset for that.

use smoltcp::time::Duration;

use super::{connection::Owner, orphan::MANY_ORPHANS};
use crate::net::{flow_map::Id, stack::Stack};

/// Time between the moment when there are too many and the search for those that take long.
const DELAY: Duration = Duration::from_millis(100);
/// With the search so much later than that, the guest has stood still again.
const LATE: Duration = Duration::from_millis(500);
/// A handshake that takes longer may be given up when others wait for its place.
const HANDSHAKE_PATIENCE: Duration = Duration::from_secs(3);
/// So may the end of a connection that nobody owns.
const ORPHAN_PATIENCE: Duration = Duration::from_secs(2);

impl Stack {
    /// There are too many of something: has those looked for soon that take long.
    pub(super) fn note_crowd(&mut self) {
        if self.crowded_at.is_none() {
            self.crowded_at = Some(self.now + DELAY);
            self.upkeep_is_due = true;
        }
    }

    /// Gives up who takes long. To be called when it is time for that, and everything has been taken
    /// in that the device has.
    #[cold]
    pub(in crate::net) fn thin_out(&mut self) {
        if self.crowded_at.take().is_none_or(|at| self.now > at + LATE) {
            return self.note_crowd();
        }
        let has_many_orphans = self.orphans > MANY_ORPHANS;
        self.for_each_connection(|stack, id| {
            if stack.takes_long(id, has_many_orphans) {
                stack.discard(id);
            }
        });
        for listener in self.listeners.values_mut() {
            listener.is_crowded = false;
        }
    }

    fn takes_long(&self, id: Id, has_many_orphans: bool) -> bool {
        let Some(connection) = self.connections.get(id) else { return false };
        let has_had = |patience: Duration| self.now >= connection.since + patience;
        match connection.owner {
            Owner::HalfOpen(port) => {
                let is_crowded = self.listeners.get(port).is_some_and(|at| at.is_crowded);
                is_crowded && has_had(HANDSHAKE_PATIENCE)
            }
            Owner::Orphan => has_many_orphans && has_had(ORPHAN_PATIENCE),
            Owner::Ready(_) | Owner::Stream => false,
        }
    }
}
