//! Too many at once: who takes long is given up, to make room for others.
//!
//! Not at the moment when there are too many, but a little later, when all is taken in that has come
//! until then. A guest whose host has given its processor to others for some seconds finds requests
//! of new clients among the answers of old ones, in any order; an old one that has answered in time
//! must not be reset for that.

use smoltcp::time::{Duration, Instant};

use super::{connection::Owner, orphan::MANY_ORPHANS};
use crate::net::{flow_map::Id, stack::Stack};

/// Time between the moment when there are too many and the search for those that take long.
const DELAY: Duration = Duration::from_millis(100);
/// What is done so much later than it was to be is done after a standstill: the host had no processor
/// for the guest, or the app kept it.
pub(in crate::net) const LATE: Duration = Duration::from_millis(500);
/// How often the search is put off for that: an app may keep the stack from running all the time.
const POSTPONEMENTS: u8 = 2;
/// How long it is put off because there is more to be taken in: in a flood there always is.
const FLOOD: Duration = Duration::from_secs(1);
/// A handshake that takes longer may be given up when others wait for its place.
const HANDSHAKE_PATIENCE: Duration = Duration::from_secs(3);
/// So may the end of a connection that nobody owns.
const ORPHAN_PATIENCE: Duration = Duration::from_secs(2);

/// Too many of something.
#[derive(Clone, Copy)]
pub(in crate::net) struct Crowd {
    /// When to look for those that take long.
    look_at: Instant,
    /// When to do so even if not all has been taken in.
    last: Instant,
    postponements: u8,
}

impl Crowd {
    fn new(now: Instant, postponements: u8) -> Self {
        Self { look_at: now + DELAY, last: now + FLOOD, postponements }
    }

    /// When to look for those that take long.
    pub(in crate::net) fn look_at(self) -> Instant {
        self.look_at
    }

    /// Whether it is time to.
    pub(in crate::net) fn is_due(self, now: Instant) -> bool {
        self.look_at <= now
    }
}

impl Stack {
    /// There are too many of something: has those looked for soon that take long.
    pub(super) fn note_crowd(&mut self) {
        if self.crowd.is_none() {
            self.crowd = Some(Crowd::new(self.now, 0));
            self.upkeep_is_due = true;
        }
    }

    /// Gives those who may take too long as much more time as the stack stood still. Some of what they
    /// have sent meanwhile may be lost, and takes as long to be sent again.
    #[cold]
    pub(in crate::net) fn make_up_for(&mut self, standstill: Duration) {
        self.for_each_connection(|stack, id| {
            if let Some(connection) = stack.connections.get_mut(id)
                && matches!(connection.owner, Owner::HalfOpen(_) | Owner::Orphan)
            {
                connection.since = stack.now.min(connection.since + standstill);
            }
        });
    }

    /// Gives up who takes long. To be called when it is time for that, and puts it off if not all has
    /// been taken in that the device has.
    #[cold]
    pub(in crate::net) fn thin_out(&mut self, is_all_in: bool) {
        let Some(crowd) = &mut self.crowd else { return };
        self.upkeep_is_due = true;
        if self.now > crowd.look_at + LATE && crowd.postponements < POSTPONEMENTS {
            *crowd = Crowd::new(self.now, crowd.postponements + 1);
            return;
        }
        if !is_all_in && self.now < crowd.last {
            crowd.look_at = self.now + DELAY / 10;
            return;
        }
        self.crowd = None;
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
