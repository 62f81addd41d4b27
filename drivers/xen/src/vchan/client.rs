//! Channels that another domain has made for this guest.

use alloc::{format, sync::Arc, vec::Vec};
use core::{
    cell::{Cell, RefCell},
    sync::atomic::Ordering,
};

use super::{
    Lookout, Vchan, VchanError, check_name,
    direction::WRITTEN,
    end::{End, Role, Signals},
    layout::{
        CLOSED, CONSUMER, GRANTS, LEFT, Location, ORDERS, Orders, PRODUCER, RIGHT, SERVER_LIVE,
        SERVER_NOTIFY, location,
    },
    ring::{Page, Ring},
};
use crate::{
    Sharing, XenError,
    events::Port,
    grants::{Access, DomainId, ForeignError, GrantRef},
    incarnation::Incarnation,
    store::{Store, StoreError},
};

/// `EINVAL`: the server's event channel is closed, or another client has it.
const NOT_OPEN: XenError = XenError(22);

/// Connects to what `server` has made for this guest as `port`, as soon as it is there.
///
/// # Errors
/// [`VchanError`]; a guest cannot connect to itself. A server that does not come is none: use a timeout.
pub async fn connect(
    store: &Store,
    sharing: Sharing,
    server: DomainId,
    port: &str,
) -> Result<(Vchan, Lookout), VchanError> {
    check_name(port)?;
    loop {
        // In another domain, this guest has another number.
        let here = connect_here(store, sharing, server, port);
        if let Some(connected) = Incarnation::current().run(here).await {
            return connected;
        }
    }
}

/// Connects as long as this guest is in this domain.
async fn connect_here(
    store: &Store,
    sharing: Sharing,
    server: DomainId,
    port: &str,
) -> Result<(Vchan, Lookout), VchanError> {
    let own: u16 = store.read_number("domid").await?;
    // On x86-64, a page of its own that a guest maps is gone from where it was. The fakes are kinder.
    if server.0 == own && !cfg!(test) {
        return Err(VchanError::Own);
    }
    let path = format!("/local/domain/{}/data/vchan/{own}/{port}", server.0);
    let ring = format!("{path}/ring-ref");
    let event_channel = format!("{path}/event-channel");
    // The node that servers write last. Not what is above it, which this guest may not read: it would
    // not be told when the nodes go with the server's domain.
    let mut watch = store.watch(&event_channel).await?;
    loop {
        watch.next().await?;
        // Both of the same channel: the server may be about to publish the next.
        let read = store.transaction(async |transaction| {
            let page = transaction.read_number(&ring);
            let port = transaction.read_number(&event_channel);
            Ok((page.await?, port.await?))
        });
        let (page, port) = match read.await {
            Ok(published) => published,
            Err(StoreError::NotFound | StoreError::Denied) => continue,
            Err(error) => return Err(error.into()),
        };
        if let Some(end) = open(sharing, server, GrantRef(page), port)? {
            let channel = Vchan::new(end);
            let lookout = Lookout::of_server(&channel, store, watch, event_channel);
            return Ok((channel, lookout));
        }
    }
}

/// Connects to a channel by the grant of its page and its event channel. `None` if it is over, or
/// somebody else's.
fn open(
    sharing: Sharing,
    server: DomainId,
    page: GrantRef,
    port: u64,
) -> Result<Option<End>, VchanError> {
    let port = Port::new(port).filter(|_| page.0 != 0).ok_or(VchanError::BadOffer)?;
    // Only one client can have it, which is the one that may change the page.
    let channel = match sharing.events.bind_interdomain(server, port) {
        Ok(channel) => channel,
        Err(NOT_OPEN) => return Ok(None),
        Err(error) => return Err(VchanError::Event(error)),
    };
    let map = |page| sharing.foreign.map(server, page, Access::ReadWrite).map(Page::Foreign);
    let first = map(page)?;
    if first.byte(SERVER_LIVE).load(Ordering::Acquire) == CLOSED {
        return Ok(None);
    }
    let [output, input] = rings(&first, &map)?;
    let signals = Arc::new(Signals::default());
    if !channel.listen(Arc::clone(&signals) as _) {
        return Err(VchanError::OutOfMemory);
    }
    first.byte(SERVER_NOTIFY).fetch_or(WRITTEN, Ordering::SeqCst);
    let end = End {
        role: Role::Client,
        first,
        input,
        output,
        channel,
        signals,
        failure: Cell::new(None),
        companion: RefCell::default(),
        _published: None,
    };
    end.set_live(true);
    end.channel.notify();
    Ok(Some(end))
}

/// The rings that the first page tells of: the one that the client writes, and the one that it reads.
fn rings(
    first: &Page,
    map: &dyn Fn(GrantRef) -> Result<Page, ForeignError>,
) -> Result<[Ring; 2], VchanError> {
    // Once: what the server writes there later is of no use.
    let orders = first.word(ORDERS).load(Ordering::Relaxed);
    let orders = Orders::from_word(orders).ok_or(VchanError::BadOffer)?;
    let mut references = first.words().iter().skip(GRANTS / 4);
    let mut ring = |order: u8, index: usize| {
        let count = match location(order) {
            Location::Inside(_) => 0,
            Location::Pages(count) => count,
        };
        let pages = references.by_ref().take(count);
        let pages: Result<Vec<_>, _> =
            pages.map(|page| map(GrantRef(page.load(Ordering::Relaxed)))).collect();
        let next = first.word(index).load(Ordering::Relaxed);
        Ok::<_, VchanError>(Ring::new(order, pages?, next))
    };
    let output = ring(orders.left, LEFT + PRODUCER)?;
    Ok([output, ring(orders.right, RIGHT + CONSUMER)?])
}
