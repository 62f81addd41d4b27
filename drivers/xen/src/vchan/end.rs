//! One end of a channel: what server and client have in common once the pages are there.

use alloc::{boxed::Box, rc::Rc, sync::Arc};
use core::{
    any::Any,
    cell::{Cell, RefCell},
    sync::atomic::{AtomicU8, AtomicU32, Ordering},
};

use mayfly_device::{InterruptHandler, Signal};

use super::{
    VchanError,
    direction::{BadIndex, Direction, READ, WRITTEN},
    layout::{
        AWAITED, CLIENT_LIVE, CLIENT_NOTIFY, CLOSED, CONNECTED, CONSUMER, LEFT, PRODUCER, RIGHT,
        SERVER_LIVE, SERVER_NOTIFY,
    },
    ring::{Page, Ring},
    server::Published,
};
use crate::event_channel::EventChannel;

/// Where events arrive: any of them may be about either direction.
#[derive(Default)]
pub(super) struct Signals {
    /// For who reads, and before that for who waits for the client.
    pub(super) readable: Signal,
    /// For who writes.
    pub(super) writable: Signal,
}

impl InterruptHandler for Signals {
    fn interrupt(&self) {
        self.readable.raise();
        self.writable.raise();
    }
}

/// Who made the channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    Server,
    Client,
}

impl Role {
    /// The offsets of what this side reads, and of what it writes.
    pub(super) fn rings(self) -> (usize, usize) {
        match self {
            Self::Server => (LEFT, RIGHT),
            Self::Client => (RIGHT, LEFT),
        }
    }

    /// The offsets of the live bytes, this side's and the other's.
    fn live(self) -> (usize, usize) {
        match self {
            Self::Server => (SERVER_LIVE, CLIENT_LIVE),
            Self::Client => (CLIENT_LIVE, SERVER_LIVE),
        }
    }

    /// The offsets of the bits by which this side asks, and by which it is asked.
    fn notify(self) -> (usize, usize) {
        match self {
            Self::Server => (CLIENT_NOTIFY, SERVER_NOTIFY),
            Self::Client => (SERVER_NOTIFY, CLIENT_NOTIFY),
        }
    }
}

/// An end.
pub(super) struct End {
    pub(super) role: Role,
    /// The page that tells of everything else.
    pub(super) first: Page,
    /// What this side reads.
    pub(super) input: Ring,
    /// What it writes.
    pub(super) output: Ring,
    pub(super) channel: EventChannel,
    pub(super) signals: Arc<Signals>,
    /// Why it is over, if it did not end by closing.
    pub(super) failure: Cell<Option<VchanError>>,
    /// What goes with the end, in every sense.
    pub(super) companion: RefCell<Option<Box<dyn Any>>>,
    /// A server's nodes, which are removed with the last end that was made by them.
    pub(super) _published: Option<Rc<Published>>,
}

impl End {
    fn direction(&self, is_input: bool) -> Direction<'_, AtomicU32, AtomicU8> {
        let (asks, asked) = self.role.notify();
        let (asks, asked) = (self.first.byte(asks), self.first.byte(asked));
        let (input, output) = self.role.rings();
        if is_input {
            Direction {
                own: self.first.word(input + CONSUMER),
                other: self.first.word(input + PRODUCER),
                asks: (asks, WRITTEN),
                asked: (asked, READ),
                size: self.input.size,
            }
        } else {
            Direction {
                own: self.first.word(output + PRODUCER),
                other: self.first.word(output + CONSUMER),
                asks: (asks, READ),
                asked: (asked, WRITTEN),
                size: self.output.size,
            }
        }
    }

    /// Whether the other side has not closed, or has not come yet.
    ///
    /// # Errors
    /// If it is over for another reason.
    pub(super) fn is_open(&self) -> Result<bool, VchanError> {
        self.check_domain()?;
        match self.failure.get() {
            Some(failure) => Err(failure),
            None => Ok(self.other_live() != CLOSED),
        }
    }

    /// Notes that it is over when this guest is in another domain: the other side is not there.
    fn check_domain(&self) -> Result<(), VchanError> {
        if self.channel.is_over() { Err(self.fail(VchanError::Gone)) } else { Ok(()) }
    }

    /// Whether the client of this server has come, and perhaps gone.
    pub(super) fn is_met(&self) -> bool {
        self.other_live() != AWAITED
    }

    fn other_live(&self) -> u8 {
        self.first.byte(self.role.live().1).load(Ordering::Acquire)
    }

    /// Says whether this side is there.
    pub(super) fn set_live(&self, is_live: bool) {
        let live = if is_live { CONNECTED } else { CLOSED };
        self.first.byte(self.role.live().0).store(live, Ordering::SeqCst);
    }

    /// It is over. Whoever waits is woken.
    pub(super) fn fail(&self, failure: VchanError) -> VchanError {
        let first = self.failure.get().unwrap_or(failure);
        self.failure.set(Some(first));
        self.signals.interrupt();
        first
    }

    /// How many bytes can be read. A protocol that is broken stays so, but what a domain has written
    /// that is gone can still be read.
    pub(super) fn readable(&self) -> Result<usize, VchanError> {
        if let Some(VchanError::Protocol) = self.failure.get() {
            return Err(VchanError::Protocol);
        }
        // The pages of a client were the other domain's. Those of a server were copied while the
        // client may have written: not all that it says is there need be.
        self.check_domain()?;
        let count = self.direction(true).readable(self.input.next.get());
        count.map(|count| count as usize).map_err(|BadIndex| self.fail(VchanError::Protocol))
    }

    /// How many bytes can be written.
    pub(super) fn writable(&self) -> Result<usize, VchanError> {
        self.check_domain()?;
        let count = self.direction(false).writable(self.output.next.get());
        count.map(|count| count as usize).map_err(|BadIndex| self.fail(VchanError::Protocol))
    }

    /// Reads as many bytes as there are and fit, and returns how many that were.
    pub(super) fn read(&self, to: &mut [u8]) -> Result<usize, VchanError> {
        let count = self.readable()?.min(to.len());
        if let Some(to) = to.get_mut(..count).filter(|to| !to.is_empty()) {
            self.input.read(&self.first, to);
            self.moved(true, &self.input);
        }
        Ok(count)
    }

    /// Writes as many bytes as there is room for, and returns how many that were.
    pub(super) fn write(&self, from: &[u8]) -> Result<usize, VchanError> {
        let count = self.writable()?.min(from.len());
        if let Some(from) = from.get(..count).filter(|from| !from.is_empty()) {
            self.output.write(&self.first, from);
            self.moved(false, &self.output);
        }
        Ok(count)
    }

    fn moved(&self, is_input: bool, ring: &Ring) {
        if self.direction(is_input).advance(ring.next.get()) {
            self.channel.notify();
        }
    }

    /// Asks for an event when there is more to read, or more room to write.
    pub(super) fn ask(&self, is_input: bool) {
        self.direction(is_input).ask();
    }
}

impl Drop for End {
    /// Tells the other side, which may still read what was written: the pages stay as long as it
    /// has them.
    fn drop(&mut self) {
        self.set_live(false);
        self.channel.notify();
    }
}
