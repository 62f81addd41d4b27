//! Which groups of Ethernet the back end has frames for. It passes on what goes to this card or to
//! everybody anyway; what goes to groups it would, too, if it were not told which of them matter: on
//! a large network, that is a wake-up for each frame by which others find each other.

use alloc::vec::Vec;

use super::transmit::Transmitter;

/// An Ethernet address of a group.
pub(super) type Group = [u8; 6];

/// Most groups: netback drops the card's wish for more than 64. Nobody has as many addresses.
const MAX_GROUPS: usize = 64;

/// The groups that the back end knows of.
#[derive(Default)]
pub(super) struct Groups {
    told: Vec<Group>,
    /// It was not told of all.
    is_behind: bool,
}

impl Groups {
    /// Whether there is more to [`tell`](Self::tell).
    pub(super) fn is_behind(&self) -> bool {
        self.is_behind
    }

    /// Queues what the back end does not know yet, as far as there is room.
    pub(super) fn tell(&mut self, wanted: &[Group], transmit: &mut Transmitter) {
        let wanted = wanted.get(..MAX_GROUPS).unwrap_or(wanted);
        self.told.retain(|group| wanted.contains(group) || !transmit.push_group(*group, false));
        for group in wanted {
            let is_new = !self.told.contains(group);
            if is_new && self.told.try_reserve(1).is_ok() && transmit.push_group(*group, true) {
                self.told.push(*group);
            }
        }
        self.is_behind = self.told.len() != wanted.len();
    }
}
