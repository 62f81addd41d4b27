//! Where a front end and its back end find each other.

use alloc::{format, string::String, vec::Vec};
use core::{fmt, str::FromStr};

use super::{BusError, State};
use crate::store::{Store, StoreError};

/// The devices of a class, such as `vif`, that this guest has at the moment: their directories, in
/// the order of their numbers.
///
/// # Errors
/// If XenStore fails.
pub async fn devices(store: &Store, class: &str) -> Result<Vec<String>, StoreError> {
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
pub(crate) struct Link {
    store: Store,
    front: String,
    back: String,
    domain: u16,
}

impl Link {
    /// Finds the back end of the device whose front end has this directory. Its nodes may still be
    /// on their way, or not yet readable, so this waits for them.
    ///
    /// # Errors
    /// If XenStore fails.
    pub(crate) async fn find(store: &Store, front: &str) -> Result<Self, BusError> {
        let mut watch = store.watch(front).await?;
        loop {
            watch.next().await?;
            let back = store.read_text(&format!("{front}/backend")).await;
            let domain = store.read_number(&format!("{front}/backend-id")).await;
            match (back, domain) {
                (Ok(back), Ok(domain)) => {
                    return Ok(Self { store: store.clone(), front: front.into(), back, domain });
                }
                (Err(error), _) | (_, Err(error)) if !is_late(error) => return Err(error.into()),
                _ => {}
            }
        }
    }

    /// The domain that the back end is in.
    pub(crate) fn domain(&self) -> u16 {
        self.domain
    }

    /// The store.
    pub(super) fn store(&self) -> &Store {
        &self.store
    }

    /// The path of one of the front end's nodes.
    pub(crate) fn front(&self, name: &str) -> String {
        format!("{}/{name}", self.front)
    }

    /// The path of one of the back end's nodes.
    pub(super) fn back(&self, name: &str) -> String {
        format!("{}/{name}", self.back)
    }

    /// A number that the front end's directory has, if it does.
    pub(crate) async fn front_text(&self, name: &str) -> Result<Option<String>, BusError> {
        there(self.store.read_text(&self.front(name)).await)
    }

    /// A number that the back end has written, if it has; anything else counts as nothing.
    pub(crate) async fn back_number<T: FromStr>(&self, name: &str) -> Result<Option<T>, BusError> {
        match self.store.read_number(&self.back(name)).await {
            Err(StoreError::Invalid) => Ok(None),
            number => there(number),
        }
    }

    /// Whether the back end has set a feature.
    pub(crate) async fn has_feature(&self, name: &str) -> Result<bool, BusError> {
        Ok(self.back_number::<u32>(name).await?.is_some_and(|value| value != 0))
    }

    /// The back end's state, `Unknown` if it has none.
    pub(super) async fn back_state(&self) -> Result<State, BusError> {
        let text = there(self.store.read_text(&self.back("state")).await)?;
        Ok(text.map_or(State::Unknown, |text| State::parse(&text)))
    }

    /// Whether the front end's directory is there, and still leads to this back end.
    pub(super) async fn is_there(&self) -> Result<bool, BusError> {
        let back = there(self.store.read_text(&self.front("backend")).await)?;
        Ok(back.is_some_and(|back| back == self.back))
    }

    /// Whether the back end is there to stay: the tools say so before they have it close.
    pub(super) async fn is_wanted(&self) -> Result<bool, BusError> {
        Ok(self.back_number::<u32>("online").await? != Some(0))
    }

    /// Tells the back end that it is over.
    pub(super) async fn close(&self) -> Result<(), BusError> {
        self.set_state(State::Closing).await?;
        self.set_state(State::Closed).await
    }

    /// Writes the front end's state, unless its directory is gone, which must not come back.
    pub(super) async fn set_state(&self, state: State) -> Result<(), BusError> {
        let path = self.front("state");
        let result = self.store.transaction(async |transaction| {
            transaction.read(&path).await?;
            transaction.write(&path, state.text()).await
        });
        match result.await {
            Err(StoreError::NotFound) => Err(BusError::Gone),
            result => Ok(result?),
        }
    }
}

impl fmt::Display for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.front)
    }
}

/// Whether a node may only be missing yet: the tools write one after the other, and make those of
/// the back end readable last.
fn is_late(error: StoreError) -> bool {
    matches!(error, StoreError::NotFound | StoreError::Denied | StoreError::Invalid)
}

/// `None` for what is not there.
fn there<T>(result: Result<T, StoreError>) -> Result<Option<T>, BusError> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(StoreError::NotFound | StoreError::Denied) => Ok(None),
        Err(error) => Err(error.into()),
    }
}
