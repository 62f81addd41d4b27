//! Who connects a device, again and again.

use alloc::{boxed::Box, rc::Rc};
use core::{
    convert::Infallible,
    fmt,
    future::poll_fn,
    pin::pin,
    task::{Context, Poll},
    time::Duration,
};

use mayfly_device::Boxed;

use super::{
    BusError, ConnectError, Connected, Frontend, Line, Link, Negotiating, Node, Offer, Seen,
    Session,
    held::Held,
    pace::{self, Pace},
    session::News,
};
use crate::{
    grants::{DomainId, GrantTable},
    incarnation::Incarnation,
    store::Store,
};

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

    /// Where its pages are granted.
    fn grants(&self) -> &'static GrantTable;

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
struct Slot<C: Connector> {
    connector: C,
    line: Line<C::Connection>,
    offered: Option<C::Connection>,
    info: Option<C::Info>,
}

/// A [`Slot`] without its type: the code that waits is in the image once.
trait Connect {
    fn features(&self) -> &'static [Node];
    fn properties(&self) -> &'static [Node];
    /// How many pages have ever been in use still when their grant ended.
    fn deferrals(&self) -> u64;
    /// How many of these, up to that number, the domain still uses.
    fn held(&self, domain: DomainId, before: u64) -> usize;
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
    /// Whether the device has been given up, because its back end broke the protocol. Wakes the task
    /// of `cx` when it is.
    fn is_broken(&self, cx: &mut Context<'_>) -> bool;
}

impl<C: Connector> Connect for Slot<C> {
    fn features(&self) -> &'static [Node] {
        C::FEATURES
    }

    fn properties(&self) -> &'static [Node] {
        C::PROPERTIES
    }

    fn deferrals(&self) -> u64 {
        self.connector.grants().deferrals()
    }

    fn held(&self, domain: DomainId, before: u64) -> usize {
        self.connector.grants().deferred_to(domain, before)
    }

    fn offer(&mut self, seen: &Seen, domain: DomainId) -> Result<Offer, ConnectError> {
        // An earlier offer that came to nothing.
        self.offered = None;
        let mut offer = Offer::default();
        self.offered = Some(self.connector.offer(seen, domain, &self.line, &mut offer)?);
        Ok(offer)
    }

    fn finish(&mut self, seen: &Seen) -> Result<(), ConnectError> {
        let Some(mut connection) = self.offered.take() else { return Ok(()) };
        let info = self.connector.finish(seen, &mut connection)?;
        if *self.info.get_or_insert(info) != info {
            return Err(BusError::Changed.into());
        }
        self.line.post(News::Connected(connection));
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

    fn is_broken(&self, cx: &mut Context<'_>) -> bool {
        self.line.is_broken(cx)
    }
}

/// Connects the device whose front end has this directory.
///
/// # Errors
/// [`ConnectError`]
pub(crate) async fn start<C: Connector>(
    store: &Store,
    front: &str,
    connector: C,
) -> Result<(C::Info, Session<C::Connection>, Minder), ConnectError> {
    let mut slot = Box::new(Slot { connector, line: Line::new(), offered: None, info: None });
    slot.line.follow();
    let (frontend, here) = loop {
        let here = Incarnation::current();
        if let Some(frontend) = here.run(first(store, front, &mut *slot)).await {
            break (frontend?, here);
        }
    };
    let session = Session::new(&slot.line);
    let info = slot.info.ok_or(BusError::Changed)?;
    Ok((info, session, Minder { device: slot, frontend, here }))
}

/// Watches over a device: see [`run`](Self::run).
pub struct Minder {
    device: Box<dyn Connect>,
    frontend: Frontend<Connected>,
    /// In which it has connected.
    here: Incarnation,
}

impl Minder {
    /// Connects the device again when its back end has closed and comes back, and when the guest is
    /// in another domain. Ends when it was detached, or cannot be connected again, with the reason.
    /// One whose back end keeps going and coming back is left alone for a while before each try, for
    /// which `sleep` waits.
    pub fn run(self, sleep: Box<Sleep>) -> Boxed<'static, ConnectError> {
        Box::pin(self.mind(sleep))
    }

    async fn mind(self, sleep: Box<Sleep>) -> ConnectError {
        let Self { mut device, frontend, mut here } = self;
        let link = Rc::clone(frontend.link());
        let mut connected = Some(frontend);
        let reason = loop {
            let minded = mind_here(&link, &mut *device, connected.take(), &*sleep);
            match here.run(minded).await {
                Some(Ok(never)) => match never {},
                Some(Err(reason)) => break reason,
                None => here = Incarnation::current(),
            }
            // In another domain all is as at first, and the back end never had what the last one had.
            let is_heard = device.lose();
            device.let_go();
            if !is_heard {
                break BusError::Gone.into();
            }
        };
        device.end();
        // If the store does not answer either, there is nothing more to be done.
        let _ = link.close().await;
        reason
    }
}

/// What comes to a device of the type `D` that has connected, and who is to watch over it.
pub type Starting<'a, D> = Boxed<'a, Result<(Box<D>, Minder), ConnectError>>;

/// What came of a device's connections so far.
#[derive(Default)]
struct Past {
    pace: Pace,
    held: Held,
}

/// What waits for a while.
pub type Sleep = dyn Fn(Duration) -> Boxed<'static, ()>;

/// Minds a device in this domain, where it has connected, or is to. `before` is where it was.
async fn mind_here(
    before: &Link,
    device: &mut dyn Connect,
    connected: Option<Frontend<Connected>>,
    sleep: &Sleep,
) -> Result<Infallible, ConnectError> {
    let mut frontend = match connected {
        Some(frontend) => frontend,
        None => {
            let frontend = first(before.store(), before.front(), device).await?;
            log::warn!("{before}: connected in another domain");
            frontend
        }
    };
    let (link, mut past) = (Rc::clone(frontend.link()), Past::default());
    loop {
        let reason = lost(frontend, device, sleep, &mut past.pace).await;
        let is_heard = device.lose();
        if reason != BusError::Closed || !is_heard {
            return Err(reason.into());
        }
        let pause = lose(&link, &mut past.pace);
        if past.pace.is_told() {
            log::warn!("{link}: its back end has closed; the device waits for it");
        }
        frontend = again(&link, device, sleep, &mut past, pause).await?;
        past.held.connected(device.deferrals());
        if past.pace.is_told() {
            log::warn!("{link}: its back end is back");
        }
    }
}

impl fmt::Debug for Minder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Minder").finish_non_exhaustive()
    }
}

/// Waits until the connection is at its end. One that lasts makes those before it forgotten.
async fn lost(
    frontend: Frontend<Connected>,
    device: &dyn Connect,
    sleep: &Sleep,
    pace: &mut Pace,
) -> BusError {
    let (mut lost, mut calm) = (pin!(frontend.lost()), pin!(sleep(pace::CALM)));
    let mut is_calm = false;
    poll_fn(|cx| {
        if let Poll::Ready(reason) = lost.as_mut().poll(cx) {
            return Poll::Ready(reason);
        }
        if device.is_broken(cx) {
            return Poll::Ready(BusError::Broken);
        }
        if !is_calm && calm.as_mut().poll(cx).is_ready() {
            is_calm = true;
            *pace = Pace::default();
        }
        Poll::Pending
    })
    .await
}

/// Connects for the first time.
fn first<'a>(
    store: &'a Store,
    front: &'a str,
    device: &'a mut dyn Connect,
) -> Boxed<'a, Result<Frontend<Connected>, ConnectError>> {
    Box::pin(async {
        connect(Frontend::begin(store, front).await?.negotiate().await?, device).await
    })
}

/// Counts that the back end has closed, and says so if it is the last time that is told. Returns how
/// long to leave it alone.
fn lose(link: &Link, pace: &mut Pace) -> Duration {
    let pause = pace.lose();
    if pace.is_last_told() {
        log::warn!("{link}: its back end keeps closing; it is tried less and less often");
    }
    pause
}

/// Connects when the back end has come back, after a pause.
async fn again(
    link: &Rc<Link>,
    device: &mut dyn Connect,
    sleep: &Sleep,
    past: &mut Past,
    mut pause: Duration,
) -> Result<Frontend<Connected>, ConnectError> {
    loop {
        if !pause.is_zero() {
            // It need not wait to hear of the end.
            link.close().await?;
            sleep(pause).await;
        }
        let frontend = Frontend::end(Rc::clone(link)).await?.begin_again().await?;
        device.let_go();
        let connected = async {
            let frontend = frontend.negotiate().await?;
            let held = |before| device.held(DomainId(link.domain()), before);
            past.held.wait(link, &held, sleep, past.pace.is_told()).await?;
            connect(frontend, device).await
        };
        match connected.await {
            // It may be back only to go again. If the device was detached, the next try finds out.
            Err(ConnectError::Bus(BusError::Closed | BusError::Gone)) => {
                pause = lose(link, &mut past.pace);
            }
            result => return result,
        }
    }
}

/// Goes on from where the back end has said what it can do, and hands the device what it uses from
/// then on.
async fn connect(
    frontend: Frontend<Negotiating>,
    device: &mut dyn Connect,
) -> Result<Frontend<Connected>, ConnectError> {
    let link = Rc::clone(frontend.link());
    let mut seen = link.read(device.features()).await?;
    let offer = device.offer(&seen, DomainId(link.domain()))?;
    let frontend = frontend.connect(offer).await?;
    seen.extend(link.read(device.properties()).await?);
    device.finish(&seen)?;
    Ok(frontend)
}
