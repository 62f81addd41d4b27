//! Where a front end and its back end find each other.

use alloc::{boxed::Box, format, string::String, vec::Vec};
use core::fmt;

use mayfly_device::Boxed;

use super::{BusError, Node, Offer, Seen, State};
use crate::store::{Store, StoreError, Watch};

/// The devices of a class, such as `vif`, that this guest has at the moment: their directories, in
/// the order of their numbers.
///
/// # Errors
/// If XenStore fails.
pub fn devices<'a>(store: &'a Store, class: &'a str) -> Boxed<'a, Result<Vec<String>, StoreError>> {
    Box::pin(find(store, class))
}

async fn find(store: &Store, class: &str) -> Result<Vec<String>, StoreError> {
    let directory = format!("device/{class}");
    let names = match store.directory(&directory).await {
        Err(StoreError::NotFound) => Vec::new(),
        names => names?,
    };
    let mut numbers: Vec<u32> = names.iter().filter_map(|name| name.parse().ok()).collect();
    numbers.sort_unstable();
    Ok(numbers.into_iter().map(|number| format!("{directory}/{number}")).collect())
}

/// A front end's directory, and that of its back end.
pub struct Link {
    store: Store,
    front: String,
    back: String,
    domain: u16,
}

/// How things are with a device.
#[derive(Clone, Copy)]
pub(super) struct Look {
    /// The back end's state, `Unknown` if it has none.
    pub(super) state: State,
    /// The front end's own state, which the tools set when they make a device, perhaps one under the
    /// same names.
    pub(super) own: State,
}

impl Link {
    /// Finds the back end of the device whose front end has this directory. The tools write its
    /// nodes one after the other, and make those of the back end readable last, so this waits for
    /// them.
    ///
    /// # Errors
    /// [`BusError::Gone`] if the directory is not there (any more), or if XenStore fails.
    pub(super) async fn find(store: &Store, front: &str) -> Result<Self, BusError> {
        let mut watch: Option<Watch> = None;
        let paths = [format!("{front}/backend"), format!("{front}/backend-id")];
        loop {
            let mut values = store.read_each(&paths).await?.into_iter().flatten();
            if let (Some(back), Some(domain)) = (values.next(), values.next())
                && let Ok(domain) = domain.parse()
            {
                return Ok(Self { store: store.clone(), front: front.into(), back, domain });
            }
            match store.read(front).await {
                Err(StoreError::NotFound | StoreError::Denied) => return Err(BusError::Gone),
                here => _ = here?,
            }
            match &mut watch {
                Some(watch) => _ = watch.next().await?,
                // It is read again when it is watched: nothing that comes in between is missed.
                None => watch = Some(store.watch(front).await?),
            }
        }
    }

    /// The domain that the back end is in.
    pub(crate) fn domain(&self) -> u16 {
        self.domain
    }

    /// The front end's directory.
    pub(super) fn front(&self) -> &str {
        &self.front
    }

    /// The store.
    pub(super) fn store(&self) -> &Store {
        &self.store
    }

    /// The path of a node.
    pub(super) fn path(&self, node: Node) -> String {
        match node {
            Node::Front(name) => format!("{}/{name}", self.front),
            Node::Back(name) => format!("{}/{name}", self.back),
        }
    }

    /// Reads nodes.
    ///
    /// # Errors
    /// If XenStore fails.
    pub(super) async fn read(&self, nodes: &[Node]) -> Result<Seen, BusError> {
        let paths: Vec<String> = nodes.iter().map(|node| self.path(*node)).collect();
        Ok(Seen::new(nodes, self.store.read_each(&paths).await?))
    }

    /// Looks how things are.
    ///
    /// # Errors
    /// [`BusError::Gone`] if the front end's directory is not there, or leads to another back end.
    pub(super) async fn look(&self) -> Result<Look, BusError> {
        const STATE: Node = Node::Back("state");
        const OWN: Node = Node::Front("state");
        let seen = self.read(&[LEAD, STATE, OWN]).await?;
        if seen.text(LEAD) != Some(&self.back) {
            return Err(BusError::Gone);
        }
        let state = |node| seen.text(node).map_or(State::Unknown, State::parse);
        Ok(Look { state: state(STATE), own: state(OWN) })
    }

    /// Whether the back end is there to stay: the tools say so before they have it close.
    ///
    /// # Errors
    /// If XenStore fails.
    pub(super) async fn is_wanted(&self) -> Result<bool, BusError> {
        const ONLINE: Node = Node::Back("online");
        Ok(self.read(&[ONLINE]).await?.number(ONLINE) != Some(0))
    }

    /// Writes nodes of the front end, and then its state, at once, unless its directory is gone,
    /// which must not come back.
    ///
    /// # Errors
    /// [`BusError::Gone`] in that case.
    pub(super) async fn publish(&self, nodes: Offer, state: State) -> Result<(), BusError> {
        let mut nodes = nodes.under(&self.front);
        nodes.push((self.front_state(), state.text().into()));
        let result = self.store.transaction(async |transaction| {
            // Both at once: without the one, the other comes to nothing.
            let is_there = transaction.read(&self.front_state());
            let written = transaction.write_each(&nodes);
            is_there.await?;
            written.await
        });
        match result.await {
            Err(StoreError::NotFound) => Err(BusError::Gone),
            result => Ok(result?),
        }
    }

    fn front_state(&self) -> String {
        self.path(Node::Front("state"))
    }

    /// Tells the back end that it is over.
    ///
    /// # Errors
    /// As of [`publish`](Self::publish).
    pub(super) async fn close(&self) -> Result<(), BusError> {
        for state in [State::Closing, State::Closed] {
            self.publish(Offer::default(), state).await?;
        }
        Ok(())
    }
}

/// The node by which a front end leads to its back end, which only the tools write.
pub(super) const LEAD: Node = Node::Front("backend");

impl fmt::Display for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.front)
    }
}
