//! Who connects a device, again and again.

use alloc::{boxed::Box, rc::Rc};
use core::{convert::Infallible, fmt, future::poll_fn, mem, pin::pin, task::Poll, time::Duration};

use mayfly_device::Boxed;

use super::{
    BusError, ConnectError, Connected, Connector, Frontend, Link, Negotiating, Offer, Session,
    device::{Connect, Slot},
    held::Held,
    pace::{self, Pace},
};
use crate::{
    grants::{DomainId, GrantError},
    incarnation::Incarnation,
    store::{Store, StoreError},
};

/// Connects the device whose front end has this directory.
///
/// # Errors
/// [`ConnectError`]
pub(crate) async fn start<C: Connector>(
    store: &Store,
    front: &str,
    connector: C,
) -> Result<(C::Info, Session<C::Connection>, Minder), ConnectError> {
    let mut slot = Box::new(Slot::new(front, connector));
    slot.line.follow();
    let (frontend, here) = loop {
        let here = Incarnation::current();
        match here.run(first(store, front, &mut *slot)).await {
            Some(Ok(frontend)) => break (frontend, here),
            Some(Err(error)) => {
                if error == BusError::Gone.into() {
                    slot.forget();
                }
                return Err(error);
            }
            None => {}
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
    ///
    /// Without XenStore, a device that has connected goes on for as long as its back end does: rings and
    /// events need no XenStore.
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
                break BusError::Unused.into();
            }
        };
        device.end();
        // If the store does not answer either, there is nothing more to be done.
        if let Ok(mut ended) = Frontend::end(link).await
            && reason == BusError::Unused.into()
        {
            // What the device has left goes with this.
            let _ = ended.heard().await;
        }
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
        let mut reason = lost(frontend, device, sleep, &mut past.pace).await;
        if let BusError::Store(error @ (StoreError::Disconnected | StoreError::Protocol)) = reason {
            log::error!(
                "{link}: {error}; it goes on, but nobody tells it of its back end any more"
            );
            reason = poll_fn(|cx| device.given_up(cx).map_or(Poll::Pending, Poll::Ready)).await;
        }
        let is_heard = device.lose();
        if !is_heard {
            reason = BusError::Unused;
        }
        if reason != BusError::Closed {
            return Err(reason.into());
        }
        let pause = lose(&link, &mut past.pace);
        if past.pace.is_told() {
            log::warn!("{link}: its back end has closed; the device waits for it");
        }
        frontend = again(&link, device, sleep, &mut past, pause).await?;
        past.held.connected(device.grants().deferrals());
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
    let link = Rc::clone(frontend.link());
    let (mut lost, mut calm) = (pin!(frontend.lost()), pin!(sleep(pace::CALM)));
    let (mut heeded, mut is_calm, mut is_deaf) = (pin!(heed(&link, device)), false, false);
    poll_fn(|cx| {
        if let Poll::Ready(reason) = lost.as_mut().poll(cx) {
            return Poll::Ready(reason);
        }
        if let Some(reason) = device.given_up(cx) {
            return Poll::Ready(reason);
        }
        if !is_calm && calm.as_mut().poll(cx).is_ready() {
            is_calm = true;
            *pace = Pace::default();
        }
        // What ends this ends `lost` as well, but for a want of watches: then the node is as it was.
        is_deaf = is_deaf || heeded.as_mut().poll(cx).is_ready();
        Poll::Pending
    })
    .await
}

/// Tells the device what becomes of the node that it goes by while it is connected.
///
/// # Errors
/// If XenStore fails.
async fn heed(link: &Link, device: &dyn Connect) -> Result<(), BusError> {
    let Some(node) = device.live() else { return Ok(()) };
    let mut watch = link.store().watch(&link.path(node)).await?;
    loop {
        watch.next().await?;
        device.heed(link.read(&[node]).await?.text(node));
    }
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
            let frontend = frontend.negotiate_again().await?;
            let grants = device.grants();
            let held = |before| grants.deferred_to(DomainId(link.domain()), before);
            past.held.wait(link, &held, sleep, past.pace.is_told()).await?;
            connect(frontend, device).await
        };
        match connected.await {
            // It may be back only to go again, and memory may be short for a while. If the device was
            // detached, the next try finds out.
            Err(
                ConnectError::Bus(BusError::Closed | BusError::Gone)
                | ConnectError::Grants(GrantError::NoMemory)
                | ConnectError::OutOfMemory,
            ) => pause = lose(link, &mut past.pace),
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
    let domain = DomainId(link.domain());
    let mut offer = Offer::default();
    let mut make = |device: &mut dyn Connect| {
        offer = device.offer(&seen, domain)?;
        Ok(())
    };
    patiently(&link, device, &mut make).await?;
    let frontend = frontend.connect(offer).await?;
    seen.extend(link.read(device.properties()).await?);
    let finished = patiently(&link, device, &mut |device| device.finish(&seen)).await;
    if finished.is_err() {
        // It is of no use, and the back end need not wait for requests. What it does not hear now, it
        // hears when somebody begins again.
        let _ = link.close().await;
    }
    finished.map(|()| frontend)
}

/// Does a step of a device that takes entries of the grant table. If others have all of them, it waits
/// for them: the table is shared, and what they hold is theirs for as long as they need it.
async fn patiently(
    link: &Link,
    device: &mut dyn Connect,
    step: &mut dyn FnMut(&mut dyn Connect) -> Result<(), ConnectError>,
) -> Result<(), ConnectError> {
    let mut is_told = false;
    loop {
        match step(device) {
            Err(ConnectError::Grants(GrantError::Full)) => {}
            done => return done,
        }
        if !mem::replace(&mut is_told, true) {
            log::warn!("{link}: {}; the device waits", GrantError::Full);
        }
        let grants = device.grants();
        grants.wait_for_free(grants.free() + 1).await?;
    }
}
