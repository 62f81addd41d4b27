//! Who connects a device, again and again.

use alloc::{boxed::Box, rc::Rc};
use core::{fmt, pin::Pin};

use super::{
    BusError, ConnectError, Connected, Frontend, Link, frontend::Negotiating, session::Line,
    session::News, session::Session,
};
use crate::store::Store;

/// How a device of some kind connects.
pub(crate) trait Connector: Sized + 'static {
    /// What the device is, which must not change.
    type Info: Copy + PartialEq;
    /// What it uses while it is connected.
    type Connection: 'static;

    /// Sets up rings and an event channel, which goes to `line`, and tells the back end.
    ///
    /// # Errors
    /// [`ConnectError`]
    async fn connect(
        &self,
        frontend: Frontend<Negotiating>,
        line: &Line<Self::Connection>,
    ) -> Result<Attached<Self>, ConnectError>;
}

/// A device that is connected.
pub(crate) struct Attached<C: Connector> {
    pub(crate) frontend: Frontend<Connected>,
    pub(crate) info: C::Info,
    pub(crate) connection: C::Connection,
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
    let link = Link::find(store, front).await?;
    let frontend = Frontend::begin(Rc::new(link)).await?.negotiate().await?;
    let line = Line::new();
    let Attached { frontend, info, connection } = connector.connect(frontend, &line).await?;
    let session = Session::new(&line, connection);
    let task = Box::pin(mind(connector, line, frontend, info));
    Ok((info, session, Minder { task }))
}

/// Watches over a device: see [`run`](Self::run).
pub struct Minder {
    task: Pin<Box<dyn Future<Output = ConnectError>>>,
}

impl Minder {
    /// Connects the device again when its back end has closed and comes back. Ends when it was
    /// detached, or cannot be connected again, with the reason.
    pub async fn run(self) -> ConnectError {
        self.task.await
    }
}

impl fmt::Debug for Minder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Minder").finish_non_exhaustive()
    }
}

async fn mind<C: Connector>(
    connector: C,
    line: Line<C::Connection>,
    frontend: Frontend<Connected>,
    info: C::Info,
) -> ConnectError {
    let link = Rc::clone(frontend.link());
    let mut frontend = frontend;
    let reason = loop {
        let reason = match frontend.lost().await {
            Ok(reason) => reason,
            Err(error) => break error.into(),
        };
        line.post(News::Lost);
        if line.is_unheard() {
            break reason.into();
        }
        log::warn!("{link}: its back end has closed; the device waits for it");
        drop(frontend);
        match again(&link, &connector, &line).await {
            Ok(attached) if attached.info == info => {
                line.post(News::Connected(attached.connection));
                log::warn!("{link}: its back end is back");
                frontend = attached.frontend;
            }
            Ok(_) => break BusError::Changed.into(),
            Err(error) => break error,
        }
    };
    line.post(News::Gone);
    // If the store does not answer either, there is nothing more to be done.
    let _ = link.close().await;
    reason
}

/// Connects when the back end has come back.
async fn again<C: Connector>(
    link: &Rc<Link>,
    connector: &C,
    line: &Line<C::Connection>,
) -> Result<Attached<C>, ConnectError> {
    loop {
        let frontend = Frontend::end(Rc::clone(link)).await?.begin_again().await?;
        match connector.connect(frontend.negotiate().await?, line).await {
            // It may be back only to go again. If the device was detached, the next try finds out.
            Err(ConnectError::Bus(BusError::Closed | BusError::Gone)) => {}
            result => return result,
        }
    }
}
