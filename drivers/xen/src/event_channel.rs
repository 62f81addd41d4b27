//! One event channel, from its making to its end.

use alloc::sync::Arc;
use core::fmt;

use mayfly_device::InterruptHandler;

use crate::{
    XenError,
    events::{EventChannels, Handler, Port},
    grants::DomainId,
    hypercalls,
    incarnation::Incarnation,
};

/// `ENOSPC`, for a channel with a number that cannot be.
const NO_SPACE: XenError = XenError(28);

impl EventChannels {
    /// Makes a channel that `remote` may connect to.
    ///
    /// # Errors
    /// What Xen says.
    pub fn alloc_unbound(&'static self, remote: DomainId) -> Result<EventChannel, XenError> {
        EventChannel::new(self, self.xen.alloc_unbound(remote)?)
    }

    /// Connects to a channel that `remote` has made for this guest.
    ///
    /// # Errors
    /// What Xen says.
    pub fn bind_interdomain(
        &'static self,
        remote: DomainId,
        port: Port,
    ) -> Result<EventChannel, XenError> {
        EventChannel::new(self, self.xen.bind_interdomain(remote, port)?)
    }

    /// The number of this guest's domain.
    ///
    /// # Errors
    /// What Xen says.
    pub fn own_domain(&self) -> Result<DomainId, XenError> {
        hypercalls::own_domain().map(DomainId)
    }
}

/// An event channel, which is closed when this is dropped. When the guest goes on in another domain
/// it is closed already.
pub struct EventChannel {
    events: &'static EventChannels,
    port: Port,
    incarnation: Incarnation,
}

impl EventChannel {
    fn new(events: &'static EventChannels, number: u32) -> Result<Self, XenError> {
        let Some(port) = Port::new(number.into()) else {
            events.xen.close(number)?;
            return Err(NO_SPACE);
        };
        Ok(Self { events, port, incarnation: Incarnation::current() })
    }

    /// Its number, which the other side is told.
    pub fn port(&self) -> Port {
        self.port
    }

    /// Whether the guest has left the domain that the channel belongs to.
    pub(crate) fn is_over(&self) -> bool {
        self.incarnation.is_over()
    }

    /// Sends an event to the other end. If there is none (any more), nothing happens.
    pub fn notify(&self) {
        if !self.is_over() {
            // It fails when the other end is closed, of which the other side's state tells.
            let _ = self.events.xen.send(self.port);
        }
    }

    /// Whether the other end is open, as far as Xen knows. A domain that dies closes its ends.
    pub fn is_connected(&self) -> bool {
        // That it cannot be asked says nothing about the other end.
        !self.is_over() && self.events.xen.is_connected(self.port).unwrap_or(true)
    }

    /// Calls `handler` at each event from now on, and once at once, for what has come before. Returns
    /// false if there is no memory for that.
    pub fn listen(&self, handler: Arc<dyn InterruptHandler>) -> bool {
        // One that is over has nothing to say, and its number may be another's.
        self.is_over() || self.events.listen_with(self.port, Handler::Shared(handler))
    }
}

impl Drop for EventChannel {
    fn drop(&mut self) {
        if self.is_over() {
            return;
        }
        self.events.forget(self.port);
        if let Err(error) = self.events.xen.close(self.port.number()) {
            log::error!("event channel {} stays open: {error}", self.port.number());
        }
    }
}

impl fmt::Debug for EventChannel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "EventChannel({})", self.port.number())
    }
}

#[cfg(test)]
mod tests {
    extern crate std;

    use std::{
        boxed::Box,
        sync::{
            Mutex,
            atomic::{AtomicU32, Ordering},
        },
        vec::Vec,
    };

    use super::*;
    use crate::{events::ChannelOperations, shared_page::SharedPage};

    const PENDING: usize = 0x800;
    const MASK: usize = 0xa00;

    #[derive(Default)]
    struct Fake {
        next: AtomicU32,
        sent: Mutex<Vec<u32>>,
        closed: Mutex<Vec<u32>>,
    }

    impl ChannelOperations for Fake {
        fn alloc_unbound(&self, _: DomainId) -> Result<u32, XenError> {
            Ok(self.next.fetch_add(1, Ordering::Relaxed))
        }

        fn bind_interdomain(&self, remote: DomainId, _: Port) -> Result<u32, XenError> {
            if remote.0 == 9 { Err(XenError(22)) } else { self.alloc_unbound(remote) }
        }

        fn send(&self, port: Port) -> Result<(), XenError> {
            self.sent.lock().unwrap().push(port.number());
            Ok(())
        }

        fn close(&self, port: u32) -> Result<(), XenError> {
            self.closed.lock().unwrap().push(port);
            Ok(())
        }

        fn is_connected(&self, _: Port) -> Result<bool, XenError> {
            Ok(true)
        }
    }

    #[derive(Default)]
    struct Count(AtomicU32);

    impl InterruptHandler for Count {
        fn interrupt(&self) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn raise(page: SharedPage, channels: &EventChannels, port: u32) {
        page.word(PENDING + port as usize / 32 * 4).fetch_or(1 << (port % 32), Ordering::SeqCst);
        page.word(8).fetch_or(1 << (port / 64), Ordering::SeqCst);
        channels.interrupt();
    }

    fn channels(first: u32) -> (&'static Fake, SharedPage, &'static EventChannels) {
        let fake: &Fake = Box::leak(Box::default());
        fake.next.store(first, Ordering::Relaxed);
        let page = SharedPage::new();
        let channels = EventChannels::with(fake, page, PENDING, MASK).unwrap();
        (fake, page, Box::leak(Box::new(channels)))
    }

    #[test]
    fn a_channel_listens_until_it_is_dropped() {
        let (fake, page, channels) = channels(37);
        let channel = channels.alloc_unbound(DomainId(0)).unwrap();
        assert_eq!(channel.port().number(), 37);
        let count = Arc::new(Count::default());
        assert!(channel.listen(count.clone()));
        raise(page, channels, 37);
        assert_eq!(count.0.load(Ordering::Relaxed), 2);
        channel.notify();
        assert_eq!(*fake.sent.lock().unwrap(), [37]);
        // An event that comes when it is masked is not for who has the number next.
        drop(channel);
        assert_eq!(Arc::strong_count(&count), 1);
        assert_eq!(*fake.closed.lock().unwrap(), [37]);
        raise(page, channels, 37);
        assert_eq!(count.0.load(Ordering::Relaxed), 2);
        assert_ne!(page.word(MASK + 4).load(Ordering::Relaxed) & 1 << 5, 0);
    }

    #[test]
    fn another_handler_replaces_the_first() {
        let (_, page, channels) = channels(1);
        let channel = channels.bind_interdomain(DomainId(0), Port::new(5).unwrap()).unwrap();
        let (first, second) = (Arc::new(Count::default()), Arc::new(Count::default()));
        assert!(channel.listen(first.clone()) && channel.listen(second.clone()));
        assert_eq!(Arc::strong_count(&first), 1);
        raise(page, channels, 1);
        assert_eq!(first.0.load(Ordering::Relaxed), 1);
        assert_eq!(second.0.load(Ordering::Relaxed), 2);
    }

    #[test]
    fn a_channel_is_void_in_another_domain() {
        let (fake, page, channels) = channels(37);
        let old = channels.alloc_unbound(DomainId(0)).unwrap();
        let count = Arc::new(Count::default());
        assert!(old.listen(count.clone()) && old.is_connected());
        raise(page, channels, 37);
        assert_eq!(count.0.swap(0, Ordering::Relaxed), 2);
        Incarnation::begin();
        channels.resume();
        // Called for the last time.
        assert_eq!((count.0.swap(0, Ordering::Relaxed), Arc::strong_count(&count)), (1, 1));
        assert_eq!(page.word(MASK + 4).load(Ordering::Relaxed), !0);
        assert!(!old.is_connected());
        // Another has the number now.
        fake.next.store(37, Ordering::Relaxed);
        let new = channels.alloc_unbound(DomainId(0)).unwrap();
        let other = Arc::new(Count::default());
        assert!(new.listen(other.clone()) && old.listen(count.clone()));
        old.notify();
        assert!(fake.sent.lock().unwrap().is_empty());
        drop(old);
        assert!(fake.closed.lock().unwrap().is_empty());
        raise(page, channels, 37);
        assert_eq!((count.0.load(Ordering::Relaxed), other.0.load(Ordering::Relaxed)), (0, 2));
        new.notify();
        assert_eq!(*fake.sent.lock().unwrap(), [37]);
        drop(new);
        assert_eq!(*fake.closed.lock().unwrap(), [37]);
    }

    #[test]
    fn what_xen_refuses_or_gives_wrongly_is_an_error() {
        let (fake, _, channels) = channels(4096);
        assert_eq!(channels.alloc_unbound(DomainId(0)).unwrap_err(), NO_SPACE);
        assert_eq!(*fake.closed.lock().unwrap(), [4096]);
        let error = channels.bind_interdomain(DomainId(9), Port::new(1).unwrap()).unwrap_err();
        assert_eq!(error, XenError(22));
    }
}
