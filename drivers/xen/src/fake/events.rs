//! Event channels of a fake of Xen.

extern crate std;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Mutex,
};

use core::sync::atomic::Ordering;

use mayfly_device::InterruptHandler;

use crate::{
    XenError,
    events::{ChannelOperations, EventChannels, Port},
    grants::DomainId,
    shared_page::SharedPage,
};

pub(super) const PENDING: usize = 0x800;
pub(super) const MASK: usize = 0xa00;

/// Which channels there are, and what was sent.
#[derive(Default)]
pub(super) struct Channels {
    open: Mutex<BTreeSet<u32>>,
    sent: Mutex<BTreeMap<u32, usize>>,
    /// Channels whose two ends this guest has, while tests let it connect to itself.
    pub(super) links: Mutex<Option<BTreeMap<u32, u32>>>,
    /// Those of them that have an event on its way.
    on_the_way: Mutex<BTreeSet<u32>>,
    /// Those whose other end is closed.
    pub(super) alone: Mutex<BTreeSet<u32>>,
}

impl Channels {
    /// The guest is in another domain, which has none.
    pub(super) fn forget(&self) {
        self.open.lock().unwrap().clear();
        self.sent.lock().unwrap().clear();
        self.on_the_way.lock().unwrap().clear();
        self.alone.lock().unwrap().clear();
        self.links.lock().unwrap().iter_mut().for_each(BTreeMap::clear);
    }

    /// How many are open.
    pub(super) fn open(&self) -> usize {
        self.open.lock().unwrap().len()
    }

    /// How many events the guest has sent since the last call.
    pub(super) fn take_sent(&self, port: u32) -> usize {
        self.sent.lock().unwrap().remove(&port).unwrap_or(0)
    }

    /// Delivers the events that the guest has sent to itself. Returns whether there were any.
    pub(super) fn deliver(&self, page: SharedPage, events: &EventChannels) -> bool {
        let ports = core::mem::take(&mut *self.on_the_way.lock().unwrap());
        ports.iter().for_each(|port| self.raise(page, events, *port));
        !ports.is_empty()
    }

    /// Sends the guest an event, if it has the channel.
    pub(super) fn raise(&self, page: SharedPage, events: &EventChannels, port: u32) {
        if !self.open.lock().unwrap().contains(&port) {
            return;
        }
        let bit = 1 << (port % 32);
        page.word(PENDING + port as usize / 32 * 4).fetch_or(bit, Ordering::SeqCst);
        page.word(8).fetch_or(1 << (port / 64), Ordering::SeqCst);
        events.interrupt();
    }
}

impl ChannelOperations for Channels {
    fn alloc_unbound(&self, _: DomainId) -> Result<u32, XenError> {
        let mut open = self.open.lock().unwrap();
        let port = (1..).find(|port| !open.contains(port)).ok_or(XenError(28))?;
        open.insert(port);
        Ok(port)
    }

    fn bind_interdomain(&self, remote: DomainId, port: Port) -> Result<u32, XenError> {
        let mut links = self.links.lock().unwrap();
        let Some(links) = &mut *links else { return self.alloc_unbound(remote) };
        let is_open = self.open.lock().unwrap().contains(&port.number());
        if !is_open || links.contains_key(&port.number()) {
            return Err(XenError(22));
        }
        let own = self.alloc_unbound(remote)?;
        links.extend([(own, port.number()), (port.number(), own)]);
        Ok(own)
    }

    fn send(&self, port: Port) -> Result<(), XenError> {
        let links = self.links.lock().unwrap();
        let other = links.as_ref().and_then(|links| links.get(&port.number()));
        self.on_the_way.lock().unwrap().extend(other);
        *self.sent.lock().unwrap().entry(port.number()).or_default() += 1;
        Ok(())
    }

    fn close(&self, port: u32) -> Result<(), XenError> {
        assert!(self.open.lock().unwrap().remove(&port), "closed twice");
        self.sent.lock().unwrap().remove(&port);
        if let Some(links) = &mut *self.links.lock().unwrap()
            && let Some(other) = links.remove(&port)
        {
            links.remove(&other);
        }
        Ok(())
    }

    fn is_connected(&self, port: Port) -> Result<bool, XenError> {
        let links = self.links.lock().unwrap();
        let has_end = links.as_ref().is_none_or(|links| links.contains_key(&port.number()));
        Ok(has_end && !self.alone.lock().unwrap().contains(&port.number()))
    }
}
