//! Channels that this guest makes, for a client of another domain.

use alloc::{
    format,
    rc::Rc,
    string::{String, ToString},
    sync::Arc,
    vec::Vec,
};
use core::{
    cell::{Cell, RefCell},
    fmt,
    future::poll_fn,
    sync::atomic::Ordering,
    task::{Context, Poll},
};

use super::{
    Lookout, Vchan, VchanError, check_name,
    direction::WRITTEN,
    end::{End, Role, Signals},
    layout::{
        AWAITED, CLIENT_LIVE, CLIENT_NOTIFY, CONNECTED, GRANTS, Location, ORDERS, Orders,
        SERVER_LIVE, location,
    },
    ring::{Page, Ring},
};
use crate::{
    Sharing,
    grants::{Access, DomainId},
    shared_page::HeapPage,
    store::{self, Permissions, Store},
};

/// How many bytes rings hold, at least. Up to a kilobyte in one direction and two in the other cost
/// no memory of their own; more come in powers of two from 4 KiB to 1 MiB.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RingSizes {
    /// What the client writes and this guest reads.
    pub input: usize,
    /// What this guest writes and the client reads.
    pub output: usize,
}

/// A server's nodes in XenStore, until this is dropped.
pub(super) struct Published {
    store: Store,
    path: String,
}

impl Drop for Published {
    fn drop(&mut self) {
        self.store.discard(&self.path);
    }
}

/// Waits for clients of one domain at one port, one at a time.
pub struct Listener {
    sharing: Sharing,
    client: DomainId,
    orders: Orders,
    published: Rc<Published>,
    /// Made and published, for the next client.
    next: Option<End>,
}

impl Listener {
    /// Makes a channel for `client`, and publishes it as `port` in this guest's directory, where
    /// clients look (`data/vchan/CLIENT/PORT`).
    ///
    /// # Errors
    /// [`VchanError`]
    pub async fn bind(
        store: &Store,
        sharing: Sharing,
        client: DomainId,
        port: &str,
        sizes: RingSizes,
    ) -> Result<Self, VchanError> {
        check_name(port)?;
        let orders = Orders::for_sizes(sizes.input, sizes.output).ok_or(VchanError::Size)?;
        let path = format!("data/vchan/{}/{port}", client.0);
        let published = Rc::new(Published { store: store.clone(), path });
        let mut listener = Self { sharing, client, orders, published, next: None };
        listener.next = Some(listener.publish().await?);
        Ok(listener)
    }

    /// Waits for a client, and gives the channel with it, and who is to look after it. Dropped
    /// before that, nothing is lost.
    ///
    /// # Errors
    /// [`VchanError`]
    pub async fn accept(&mut self) -> Result<(Vchan, Lookout), VchanError> {
        loop {
            // In another domain, nobody knows of it.
            if self.next.as_ref().is_none_or(|end| end.channel.is_over()) {
                self.next = Some(self.publish().await?);
            }
            if poll_fn(|cx| self.poll_met(cx)).await {
                break;
            }
        }
        let end = self.next.take().ok_or(VchanError::Closed)?;
        let channel = Vchan::new(end);
        let lookout = Lookout::of_client(&channel, &self.published.store, self.client);
        Ok((channel, lookout))
    }

    /// Ready when the client has come, or cannot come any more: whether it has.
    fn poll_met(&self, cx: &mut Context<'_>) -> Poll<bool> {
        let Some(end) = &self.next else { return Poll::Ready(true) };
        end.signals.readable.watch(cx);
        if end.channel.is_over() {
            return Poll::Ready(false);
        }
        if end.is_met() { Poll::Ready(true) } else { Poll::Pending }
    }

    /// Makes a channel, and tells the client.
    async fn publish(&self) -> Result<End, VchanError> {
        // The first page, and those of the rings. Nothing waits before they are granted, so that nobody
        // else takes the entries.
        self.sharing.grants.wait_for_free(1 + self.orders.grants()).await?;
        let end = self.make()?;
        let Page::Granted(first) = &end.first else { return Err(VchanError::OutOfMemory) };
        let values = [
            (format!("{}/ring-ref", self.published.path), first.reference().0),
            (format!("{}/event-channel", self.published.path), end.channel.port().number()),
        ];
        let store = &self.published.store;
        let owner = store.read_number("domid").await?;
        let others = [(self.client.0, store::Access::Read)].into();
        let permissions = Permissions { owner, default: store::Access::None, others };
        let published = store.transaction(async |transaction| {
            // All of them are on their way before the first is waited for.
            let replies: Vec<_> = values
                .iter()
                .flat_map(|(path, value)| {
                    let written = transaction.write(path, value.to_string());
                    [written, transaction.set_permissions(path, &permissions)]
                })
                .collect();
            for reply in replies {
                reply.await?;
            }
            Ok(())
        });
        published.await?;
        Ok(end)
    }

    /// Makes a channel.
    fn make(&self) -> Result<End, VchanError> {
        let first = self.grant()?;
        let (left, left_grants) = self.ring_pages(self.orders.left)?;
        let (right, right_grants) = self.ring_pages(self.orders.right)?;
        let grants = left_grants.iter().chain(&right_grants);
        let places = first.words().iter().skip(GRANTS / 4);
        grants.zip(places).for_each(|(grant, place)| place.store(*grant, Ordering::Relaxed));
        first.word(ORDERS).store(self.orders.to_word(), Ordering::Relaxed);
        for (offset, value) in
            [(CLIENT_LIVE, AWAITED), (SERVER_LIVE, CONNECTED), (CLIENT_NOTIFY, WRITTEN)]
        {
            first.byte(offset).store(value, Ordering::Release);
        }
        let events = self.sharing.events;
        let channel = events.alloc_unbound(self.client).map_err(VchanError::Event)?;
        let signals = Arc::new(Signals::default());
        if !channel.listen(Arc::clone(&signals) as _) {
            return Err(VchanError::OutOfMemory);
        }
        Ok(End {
            role: Role::Server,
            first,
            input: Ring::new(self.orders.left, left, 0),
            output: Ring::new(self.orders.right, right, 0),
            channel,
            signals,
            failure: Cell::new(None),
            companion: RefCell::default(),
            _published: Some(Rc::clone(&self.published)),
        })
    }

    /// A page that the client may use.
    fn grant(&self) -> Result<Page, VchanError> {
        let page = HeapPage::zeroed().ok_or(VchanError::OutOfMemory)?;
        let granted = self.sharing.grants.grant(self.client, page, Access::ReadWrite);
        Ok(Page::Granted(granted.map_err(|(error, _)| error)?))
    }

    /// The pages of a ring of this order, and the numbers by which the client finds them.
    fn ring_pages(&self, order: u8) -> Result<(Vec<Page>, Vec<u32>), VchanError> {
        let (mut pages, mut references) = (Vec::new(), Vec::new());
        let Location::Pages(count) = location(order) else { return Ok((pages, references)) };
        for _ in 0..count {
            let page = self.grant()?;
            if let Page::Granted(grant) = &page {
                references.push(grant.reference().0);
            }
            pages.push(page);
        }
        Ok((pages, references))
    }
}

impl fmt::Debug for Listener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Listener").field("path", &self.published.path).finish_non_exhaustive()
    }
}
