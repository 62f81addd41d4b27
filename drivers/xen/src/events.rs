//! Event channels: from the one interrupt that Xen has to the handler of a channel.
//!
//! This is the two-level interface (xen/include/public/event_channel.h, xen.h), in the page of
//! `struct shared_info`:
//!
//! ```text
//!   byte 0                   an event is pending for this vCPU: Xen interrupts when it becomes so
//!   word 64 bits, byte 8     selector: which words of the next have something
//!   64 words of 64 bits      pending: one bit for each channel
//!   64 words of 64 bits      mask: those that are held back
//! ```
//!
//! Xen sets pending bit, selector bit and byte in this order, each only if the one before was not
//! set. So they are cleared in the opposite order, each before what it stands for is looked at, and
//! a channel's bit before its handler runs: whatever comes in between is announced anew.
//!
//! Words are taken in halves of 32 bits here, which are the same bits on a little-endian machine,
//! and atomic on all three.

mod levels;
#[cfg(all(test, not(miri)))]
mod model;

use alloc::{sync::Arc, vec::Vec};
use core::sync::atomic::Ordering;

use mayfly_arch::{IrqLock, PAGE_SIZE};
use mayfly_device::InterruptHandler;

use self::levels::{acknowledge, hold_back, let_through, select, take};
use crate::{
    XenError,
    grants::DomainId,
    hypercalls::{self, Hypercalls},
    shared_page::SharedPage,
};

/// Channels that there can be: 64 words of 64 bits.
const CHANNELS: usize = 64 * 64;
/// Bytes of all pending, or all mask, bits.
const BITMAP: usize = CHANNELS / 8;
/// Where the selector is (`struct vcpu_info`).
const SELECTOR: usize = 8;
/// An event channel of this guest, by its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Port(usize);

impl Port {
    /// The channel of this number. `None` if there can be none; 0 is never one.
    pub fn new(number: u64) -> Option<Self> {
        let number = usize::try_from(number).ok()?;
        (1..CHANNELS).contains(&number).then_some(Self(number))
    }

    /// Its number.
    pub fn number(self) -> u32 {
        self.0 as u32
    }
}

/// What Xen does with event channels, or a fake of it (EVTCHNOP_*).
pub(crate) trait ChannelOperations: Sync {
    /// Makes a channel for `remote` to connect to.
    fn alloc_unbound(&self, remote: DomainId) -> Result<u32, XenError>;
    /// Connects to a channel that `remote` has made.
    fn bind_interdomain(&self, remote: DomainId, port: Port) -> Result<u32, XenError>;
    /// Sends an event to the other end.
    fn send(&self, port: Port) -> Result<(), XenError>;
    /// Closes this end.
    fn close(&self, port: u32) -> Result<(), XenError>;
    /// Whether the other end is open.
    fn is_connected(&self, port: Port) -> Result<bool, XenError>;
}

impl ChannelOperations for Hypercalls {
    fn alloc_unbound(&self, remote: DomainId) -> Result<u32, XenError> {
        hypercalls::alloc_unbound(remote.0)
    }

    fn bind_interdomain(&self, remote: DomainId, port: Port) -> Result<u32, XenError> {
        hypercalls::bind_interdomain(remote.0, port.number())
    }

    fn send(&self, port: Port) -> Result<(), XenError> {
        hypercalls::send(port.number())
    }

    fn close(&self, port: u32) -> Result<(), XenError> {
        hypercalls::close(port)
    }

    fn is_connected(&self, port: Port) -> Result<bool, XenError> {
        hypercalls::is_connected(port.number())
    }
}

/// What a channel's events call.
#[derive(Clone)]
pub(crate) enum Handler {
    /// For as long as the guest.
    Static(&'static dyn InterruptHandler),
    /// For as long as the channel.
    Shared(Arc<dyn InterruptHandler>),
}

impl Handler {
    fn call(&self) {
        match self {
            Self::Static(handler) => handler.interrupt(),
            Self::Shared(handler) => handler.interrupt(),
        }
    }
}

/// All event channels of this guest.
pub struct EventChannels {
    pub(crate) xen: &'static dyn ChannelOperations,
    page: SharedPage,
    /// Bytes from the start of the page to the bitmaps.
    pending: usize,
    mask: usize,
    /// By number, as far as it has become necessary.
    handlers: IrqLock<Vec<Option<Handler>>>,
}

impl EventChannels {
    /// Those of this `struct shared_info`, where the bitmaps are at these offsets. All of them are
    /// held back, and what has come so far is forgotten. `None` if the bitmaps are not in the page.
    pub(crate) fn new(page: SharedPage, pending: usize, mask: usize) -> Option<Self> {
        Self::with(&Hypercalls, page, pending, mask)
    }

    /// As [`new`](Self::new), with channels of another Xen.
    pub(crate) fn with(
        xen: &'static dyn ChannelOperations,
        page: SharedPage,
        pending: usize,
        mask: usize,
    ) -> Option<Self> {
        if pending.max(mask) > PAGE_SIZE - BITMAP {
            return None;
        }
        let handlers = IrqLock::new(Vec::new());
        let channels = Self { xen, page, pending, mask, handlers };
        channels.reset();
        Some(channels)
    }

    /// Holds all channels back, and forgets what has come: each level before what it stands for, so
    /// that one which Xen sets meanwhile is announced.
    fn reset(&self) {
        let page = self.page;
        for at in (0..BITMAP).step_by(4) {
            page.word(self.mask + at).store(!0, Ordering::SeqCst);
        }
        acknowledge(page.word(0));
        page.word(SELECTOR).store(0, Ordering::SeqCst);
        page.word(SELECTOR + 4).store(0, Ordering::SeqCst);
        for at in (0..BITMAP).step_by(4) {
            page.word(self.pending + at).store(0, Ordering::SeqCst);
        }
    }

    /// Begins anew in another domain, which has none of the channels. Whoever listened is called for
    /// the last time, and finds out what has become of its channel.
    pub(crate) fn resume(&self) {
        self.reset();
        let count = self.handlers.with(|handlers| handlers.len());
        for number in 0..count {
            if let Some(handler) = self.replace_handler(Port(number), None) {
                handler.call();
            }
        }
    }

    /// Calls `handler` at each event of a channel from now on, and once at once, for what has come
    /// before. Returns false if there is no memory for that.
    pub(crate) fn listen(&self, port: Port, handler: &'static dyn InterruptHandler) -> bool {
        self.listen_with(port, Handler::Static(handler))
    }

    /// As [`listen`](Self::listen), for a handler that need not stay.
    pub(crate) fn listen_with(&self, port: Port, handler: Handler) -> bool {
        if !self.make_room(port) {
            return false;
        }
        let old = self.replace_handler(port, Some(handler.clone()));
        self.unmask(port);
        handler.call();
        drop(old);
        true
    }

    /// Holds a channel's events back, and does not call its handler any more.
    pub(crate) fn forget(&self, port: Port) {
        let (offset, bit) = (port.0 / 32 * 4, 1 << (port.0 % 32));
        hold_back(self.page.word(self.mask + offset), bit);
        drop(self.replace_handler(port, None));
        // Whoever gets the number next has not been sent anything.
        self.page.word(self.pending + offset).fetch_and(!bit, Ordering::SeqCst);
    }

    /// Sets the handler of a channel. Returns the old one, not to be dropped under the lock.
    fn replace_handler(&self, port: Port, handler: Option<Handler>) -> Option<Handler> {
        self.handlers.with(|handlers| {
            let slot = handlers.get_mut(port.0)?;
            core::mem::replace(slot, handler)
        })
    }

    /// Lets the table of handlers reach to this channel. It is not allocated under the lock, which
    /// holds interrupts back.
    fn make_room(&self, port: Port) -> bool {
        let length = self.handlers.with(|handlers| handlers.len());
        let wanted = (port.0 + 1).next_power_of_two();
        if wanted <= length {
            return true;
        }
        let mut larger = Vec::new();
        if larger.try_reserve_exact(wanted).is_err() {
            return false;
        }
        larger.resize(wanted, None);
        let old = self.handlers.with(|handlers| {
            for (new, old) in larger.iter_mut().zip(&mut *handlers) {
                *new = old.take();
            }
            core::mem::replace(handlers, larger)
        });
        drop(old);
        true
    }

    /// Lets a channel's events through. The caller looks for those that have come meanwhile.
    fn unmask(&self, port: Port) {
        let (offset, bit) = (port.0 / 32 * 4, 1 << (port.0 % 32));
        let (pending, mask) = (self.pending + offset, self.mask + offset);
        let_through(self.page.word(pending), self.page.word(mask), bit);
    }

    /// Calls the handlers of the channels in the word at `offset` of the bitmaps.
    fn deliver(&self, offset: usize) {
        let (pending, mask) = (self.pending + offset, self.mask + offset);
        let mut events = take(self.page.word(pending), self.page.word(mask));
        while events != 0 {
            let number = offset * 8 + events.trailing_zeros() as usize;
            events &= events - 1;
            // Outside of the lock: waking a task may take a while.
            // This is never the last that keeps a handler: no task runs meanwhile to drop the other.
            let handler = self.handlers.with(|handlers| handlers.get(number).cloned().flatten());
            if let Some(handler) = handler {
                handler.call();
            }
        }
    }
}

impl InterruptHandler for EventChannels {
    fn interrupt(&self) {
        acknowledge(self.page.word(0));
        for half in 0..2 {
            let mut selected = select(self.page.word(SELECTOR + 4 * half));
            while selected != 0 {
                let word = 32 * half + selected.trailing_zeros() as usize;
                selected &= selected - 1;
                self.deliver(8 * word);
                self.deliver(8 * word + 4);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    extern crate std;

    use core::sync::atomic::AtomicU32;
    use std::boxed::Box;

    use super::*;

    const PENDING: usize = 0x800;
    const MASK: usize = 0xa00;

    #[derive(Default)]
    struct Count(AtomicU32);

    impl InterruptHandler for Count {
        fn interrupt(&self) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    impl Count {
        fn take(&self) -> u32 {
            self.0.swap(0, Ordering::Relaxed)
        }
    }

    /// As Xen does it (xen/common/event_2l.c).
    fn raise(page: SharedPage, port: usize) -> bool {
        let (offset, bit) = (port / 32 * 4, 1 << (port % 32));
        if page.word(PENDING + offset).fetch_or(bit, Ordering::SeqCst) & bit != 0
            || page.word(MASK + offset).load(Ordering::SeqCst) & bit != 0
        {
            return false;
        }
        let (half, selected) = (port / 64 / 32 * 4, 1 << (port / 64 % 32));
        page.word(SELECTOR + half).fetch_or(selected, Ordering::SeqCst) & selected == 0
            && page.word(0).fetch_or(1, Ordering::SeqCst) & 1 == 0
    }

    fn channels() -> (SharedPage, EventChannels) {
        let page = SharedPage::new();
        // What an earlier kernel left.
        page.word(0).store(1, Ordering::Relaxed);
        page.word(PENDING).store(!0, Ordering::Relaxed);
        (page, EventChannels::new(page, PENDING, MASK).unwrap())
    }

    fn port(number: u64) -> Port {
        Port::new(number).unwrap()
    }

    #[test]
    fn events_reach_the_handler_of_their_channel() {
        let (page, channels) = channels();
        let counts: [&Count; 4] = [(); 4].map(|()| &*Box::leak(Box::default()));
        let ports = [1, 63, 64, 4095];
        for (count, number) in counts.iter().zip(ports) {
            assert!(channels.listen(port(number), *count));
            assert_eq!(count.take(), 1);
        }
        for (count, number) in counts.iter().zip(ports) {
            assert!(raise(page, number as usize));
            channels.interrupt();
            assert_eq!(count.take(), 1);
            assert!(counts.iter().all(|count| count.take() == 0));
        }
        assert!(raise(page, 1));
        assert!(!raise(page, 64));
        assert!(!raise(page, 64));
        channels.interrupt();
        assert_eq!(counts.map(Count::take), [1, 0, 1, 0]);
    }

    #[test]
    fn channels_that_nobody_listens_to_are_held_back() {
        let (page, channels) = channels();
        assert!(!raise(page, 5));
        channels.interrupt();
        let count: &Count = Box::leak(Box::default());
        assert!(channels.listen(port(5), count));
        assert_eq!(count.take(), 1);
        // What came before does not stand in the way.
        assert!(raise(page, 5));
        channels.interrupt();
        assert_eq!(count.take(), 1);
    }

    #[test]
    fn an_event_that_comes_while_its_handler_runs_is_not_lost() {
        struct Again(SharedPage, Count);
        impl InterruptHandler for Again {
            fn interrupt(&self) {
                if self.1.0.fetch_add(1, Ordering::Relaxed) == 1 {
                    assert!(raise(self.0, 9));
                }
            }
        }
        let (page, channels) = channels();
        let again: &Again = Box::leak(Box::new(Again(page, Count::default())));
        assert!(channels.listen(port(9), again));
        assert!(raise(page, 9));
        channels.interrupt();
        assert_eq!(page.word(0).load(Ordering::Relaxed) & 1, 1);
        channels.interrupt();
        assert_eq!(again.1.take(), 3);
    }

    #[test]
    fn numbers_that_cannot_be_channels_are_refused() {
        assert_eq!(Port::new(0), None);
        assert_eq!(Port::new(4096), None);
        assert_eq!(Port::new(u64::MAX), None);
        assert!(EventChannels::new(SharedPage::new(), 0xe01, 0x100).is_none());
    }
}
