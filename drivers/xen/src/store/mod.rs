//! XenStore: a small tree of values that all domains share, and by which devices are negotiated.
//!
//! The store is served by a daemon in dom0 as a rule, over a ring in each direction and an event
//! channel. From the bottom up:
//!
//! - `wire`: messages;
//! - `connection`: which requests wait for a reply, and who watches what;
//! - `driver`: the one task that moves bytes between that and the rings;
//! - `request`, `watch`: the futures that an app waits for. They only need a waker, and any number of
//!   them can be there: so a handler of a watch may ask for something, and wait for it;
//! - `nodes`, `several`, `transaction`: what can be asked; `turns`: when a transaction may begin.
//!
//! A message of the server that makes no sense ends the connection: everybody who waits gets
//! [`StoreError::Protocol`]. A server that can begin anew is asked for that, a few times; after that,
//! and with one that cannot, who asks later gets the same error.

mod connection;
mod directory;
mod discard;
mod driver;
mod error;
mod line;
mod nodes;
mod permissions;
mod request;
mod several;
mod transaction;
mod turns;
mod watch;
mod wire;

#[cfg(any(test, feature = "fake"))]
#[allow(clippy::unwrap_used, reason = "it is for tests")]
#[cfg_attr(not(test), allow(dead_code, reason = "some are only for unit tests"))]
pub(crate) mod fake;
#[cfg(any(test, feature = "fake"))]
pub(crate) mod fuzz;
#[cfg(test)]
mod tests;

use core::{fmt, ops::Deref};

use self::{
    connection::Connection,
    driver::{Channel, Driver},
    transaction::Within,
};
pub use self::{
    error::{ErrorName, StoreError},
    line::FoundStore,
    nodes::Nodes,
    permissions::{Access, Permissions},
    request::Reply,
    several::Replies,
    transaction::Transaction,
    watch::{Registration, Watch},
};
use crate::shared_page::SharedPage;
pub(crate) use watch::poll_any;

/// The store, as this guest sees it. Clones are further handles to the same connection; requests of
/// all of them may be under way at the same time.
///
/// Paths that do not begin with `/` are relative to the guest's own directory, `/local/domain/N`. A
/// guest may write below `data` there. What can be done with nodes is in [`Nodes`].
pub struct Store {
    nodes: Nodes,
}

/// Makes a handle of the store whose rings are on this page, and the driver that it needs to run.
fn connect<C: Channel>(page: SharedPage, channel: C) -> (Store, Driver<C>) {
    let connection = Connection::new();
    let store = Store { nodes: Nodes::new(connection.clone(), Within::NONE) };
    (store, Driver::new(connection, page, channel))
}

impl Store {
    /// The connection is another one, whose rings begin anew.
    fn resume_requests(&self) {
        self.nodes.connection().resume();
    }

    /// Watches a node and all below it, which need not be there. See [`Watch::next`].
    ///
    /// # Errors
    /// [`StoreError`]; among others [`StoreError::Quota`] when there are too many.
    pub fn watch(&self, path: &str) -> Registration {
        Registration::new(self.nodes.connection(), path)
    }

    /// Runs `body` so that others see all that it does at once or not at all, and it sees nothing of
    /// what they do meanwhile. If others have changed what it looked at, it runs again, up to
    /// [`Transaction::TRIES`] times in all. If it fails, or is dropped, nothing is changed.
    ///
    /// # Errors
    /// Those of `body`; [`StoreError::Again`] if others never stopped; [`StoreError`] otherwise.
    pub async fn transaction<T>(
        &self,
        body: impl AsyncFn(&Transaction) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        for _ in 0..Transaction::TRIES {
            let transaction = Transaction::start(self.nodes.connection()).await?;
            let result = match body(&transaction).await {
                Ok(value) => transaction.commit().await.map(|()| value),
                Err(error) => Err(error),
            };
            if !matches!(result, Err(StoreError::Again)) {
                return result;
            }
        }
        Err(StoreError::Again)
    }
}

impl Clone for Store {
    fn clone(&self) -> Self {
        Self { nodes: Nodes::new(self.nodes.connection().clone(), Within::NONE) }
    }
}

impl Deref for Store {
    type Target = Nodes;

    fn deref(&self) -> &Nodes {
        &self.nodes
    }
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store").finish_non_exhaustive()
    }
}
