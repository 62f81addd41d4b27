//! A queue of a card: a pair of rings, one for each direction, and the event channels by which both
//! ends tell each other that there is something in them.
//!
//! A card has one queue, or several if it was asked for several and its back end offers them. Each
//! of them is worked on by a thread of its own in the back end's domain, on processors of its own;
//! all of them wake the same task here.

use alloc::{
    format,
    rc::Rc,
    string::{String, ToString},
};

use mayfly_device::FramePool;

use super::{
    Connection,
    receive::{self, Receiver},
    transmit::Transmitter,
};
use crate::{
    Sharing,
    bus::{ConnectError, Line, Offer, granted_ring},
    event_channel::EventChannel,
    grants::DomainId,
};

/// A pair of rings.
pub(super) struct Queue {
    pub(super) transmit: Transmitter,
    pub(super) receive: Receiver,
    channels: Channels,
}

/// The event channels of a queue.
enum Channels {
    /// One for both rings.
    Both(EventChannel),
    /// The back end does not look at a ring because of the other.
    Each { transmit: EventChannel, receive: EventChannel },
}

/// What a queue is to be.
pub(super) struct Plan<'a> {
    pub(super) sharing: Sharing,
    pub(super) domain: DomainId,
    /// Who hears of its events.
    pub(super) line: &'a Line<Connection>,
    /// Memory for received frames.
    pub(super) pages: &'a Rc<dyn FramePool>,
    /// Entries for frames to be sent, and how many of them a frame may take.
    pub(super) limits: (usize, usize),
    /// Whether the back end fills in checksums.
    pub(super) checksums: bool,
    /// Whether it takes an event channel for each ring.
    pub(super) splits: bool,
}

impl Plan<'_> {
    /// Sets up a queue, and says so under `prefix` of the front end's directory.
    pub(super) fn carry_out(&self, prefix: &str, offer: &mut Offer) -> Result<Queue, ConnectError> {
        let slots = self.limits.0;
        let entries = Rc::new(self.sharing.grants.reserve(slots + receive::SLOTS + 2)?);
        let (transmit_ring, transmit_reference) = granted_ring(&entries, self.domain)?;
        let (receive_ring, receive_reference) = granted_ring(&entries, self.domain)?;
        let mut add = |name, value: String| offer.add(&format!("{prefix}{name}"), value);
        add("tx-ring-ref", transmit_reference);
        add("rx-ring-ref", receive_reference);
        let mut channel = |name| {
            let channel = self.sharing.events.alloc_unbound(self.domain)?;
            self.line.listen(&channel)?;
            add(name, channel.port().number().to_string());
            Ok::<_, ConnectError>(channel)
        };
        let channels = if self.splits {
            let (transmit, receive) = (channel("event-channel-tx")?, channel("event-channel-rx")?);
            Channels::Each { transmit, receive }
        } else {
            let both = channel("event-channel")?;
            // netback goes by these if they are there, as they are if the last one took two.
            for name in ["event-channel-tx", "event-channel-rx"] {
                add(name, both.port().number().to_string());
            }
            Channels::Both(both)
        };
        let (sending, pages) = (Rc::clone(&entries), Rc::clone(self.pages));
        let transmit =
            Transmitter::new(transmit_ring, self.domain, sending, self.limits, self.checksums);
        let receive = Receiver::new(receive_ring, self.domain, entries, pages);
        Ok(Queue { transmit, receive, channels })
    }
}

impl Queue {
    /// Tells the back end of what was queued, if it wants to know.
    pub(super) fn tell(&mut self) {
        let wants_frames = self.transmit.publish();
        let wants_pages = self.receive.publish();
        match &self.channels {
            Channels::Both(channel) => {
                if wants_frames || wants_pages {
                    channel.notify();
                }
            }
            Channels::Each { transmit, receive } => {
                if wants_frames {
                    transmit.notify();
                }
                if wants_pages {
                    receive.notify();
                }
            }
        }
    }
}
