//! A device that connects: what its driver knows how to do, and what the minder sees of it.

use alloc::{boxed::Box, string::String};
use core::task::Context;

use super::{BusError, ConnectError, Line, Node, Offer, Seen, left, session::News};
use crate::grants::{DomainId, GrantTable};

/// How a device of some kind connects: all of it that does not wait, for that is the same for all.
pub(crate) trait Connector: 'static {
    /// What the device is, which must not change.
    type Info: Copy + PartialEq;
    /// What it uses while it is connected.
    type Connection: 'static;

    /// What it has to know of a back end that waits for its rings.
    const FEATURES: &'static [Node];
    /// What it has to know of one that has connected.
    const PROPERTIES: &'static [Node];
    /// What it goes by while it is connected, and what may change then.
    const LIVE: Option<Node> = None;

    /// Where its pages are granted.
    fn grants(&self) -> &'static GrantTable;

    /// Takes in what [`LIVE`](Self::LIVE) has now, `None` if there is no such node. The device is woken
    /// afterwards.
    fn heed(&self, value: Option<&str>) {
        let _ = value;
    }

    /// Sets up rings, and an event channel, which goes to `line`, and says so in what the back end
    /// is to be told.
    ///
    /// # Errors
    /// [`ConnectError`]
    fn offer(
        &self,
        features: &Seen,
        domain: DomainId,
        line: &Line<Self::Connection>,
        offer: &mut Offer,
    ) -> Result<Self::Connection, ConnectError>;

    /// Says what the device is, now that the back end has connected. `seen` are both features and
    /// properties.
    ///
    /// # Errors
    /// [`ConnectError::Unsuitable`]
    fn finish(
        &self,
        seen: &Seen,
        connection: &mut Self::Connection,
    ) -> Result<Self::Info, ConnectError>;
}

/// A device that connects, and what it has come to so far.
pub(super) struct Slot<C: Connector> {
    connector: C,
    /// The directory of the front end.
    front: String,
    pub(super) line: Line<C::Connection>,
    offered: Option<C::Connection>,
    pub(super) info: Option<C::Info>,
}

impl<C: Connector> Slot<C> {
    pub(super) fn new(front: &str, connector: C) -> Self {
        Self { connector, front: front.into(), line: Line::new(), offered: None, info: None }
    }

    /// There is no back end any more that would look for what it was offered.
    pub(super) fn forget(&mut self) {
        self.offered = None;
    }
}

/// The back end may still look for what it was offered.
impl<C: Connector> Drop for Slot<C> {
    fn drop(&mut self) {
        if let Some(offered) = self.offered.take() {
            left::behind(&self.front, Box::new(offered));
        }
    }
}

/// A [`Slot`] without its type: the code that waits is in the image once.
pub(super) trait Connect {
    fn features(&self) -> &'static [Node];
    fn properties(&self) -> &'static [Node];
    /// See [`Connector::LIVE`].
    fn live(&self) -> Option<Node>;
    /// See [`Connector::grants`].
    fn grants(&self) -> &'static GrantTable;
    /// Tells the device what [`live`](Self::live) has now.
    fn heed(&self, value: Option<&str>);
    /// See [`Connector::offer`].
    fn offer(&mut self, seen: &Seen, domain: DomainId) -> Result<Offer, ConnectError>;
    /// Hands what was offered to the device.
    fn finish(&mut self, seen: &Seen) -> Result<(), ConnectError>;
    /// Tells the device that its back end has closed. Returns whether it still wants to hear more.
    fn lose(&mut self) -> bool;
    /// Tells the device that its back end has heard of the end.
    fn let_go(&mut self);
    /// Tells the device that its back end does not come back.
    fn end(&mut self);
    /// Whether the device has been given up, and why: its back end broke the protocol, or nobody has
    /// the device any more. Wakes the task of `cx` when it is.
    fn given_up(&self, cx: &mut Context<'_>) -> Option<BusError>;
}

impl<C: Connector> Connect for Slot<C> {
    fn features(&self) -> &'static [Node] {
        C::FEATURES
    }

    fn properties(&self) -> &'static [Node] {
        C::PROPERTIES
    }

    fn live(&self) -> Option<Node> {
        C::LIVE
    }

    fn grants(&self) -> &'static GrantTable {
        self.connector.grants()
    }

    fn heed(&self, value: Option<&str>) {
        self.connector.heed(value);
        self.line.wake();
    }

    fn offer(&mut self, seen: &Seen, domain: DomainId) -> Result<Offer, ConnectError> {
        // An earlier offer that came to nothing.
        self.offered = None;
        let mut offer = Offer::default();
        self.offered = Some(self.connector.offer(seen, domain, &self.line, &mut offer)?);
        Ok(offer)
    }

    fn finish(&mut self, seen: &Seen) -> Result<(), ConnectError> {
        let Some(connection) = &mut self.offered else { return Ok(()) };
        let info = self.connector.finish(seen, connection)?;
        if *self.info.get_or_insert(info) != info {
            return Err(BusError::Changed.into());
        }
        if let Some(connection) = self.offered.take() {
            self.line.post(News::Connected(connection));
        }
        Ok(())
    }

    fn lose(&mut self) -> bool {
        self.line.post(News::Lost);
        !self.line.is_unheard()
    }

    fn let_go(&mut self) {
        self.line.post(News::Heard);
    }

    fn end(&mut self) {
        self.line.post(News::Gone);
    }

    fn given_up(&self, cx: &mut Context<'_>) -> Option<BusError> {
        self.line.given_up(cx)
    }
}
