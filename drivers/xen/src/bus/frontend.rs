//! A front end on its way through the states.

use alloc::string::String;
use core::marker::PhantomData;

use super::{BusError, Link, State};
use crate::store::{StoreError, Watch};

/// It has begun, and the back end has not said what it can do yet.
pub(crate) struct Initialising;
/// The back end waits for the front end's rings.
pub(crate) struct Negotiating;
/// The back end knows the rings.
pub(crate) struct Connected;

/// A front end in the state `S`.
pub(crate) struct Frontend<S> {
    link: Link,
    /// Watches the back end's state.
    watch: Watch,
    stage: PhantomData<S>,
}

impl<S> Frontend<S> {
    /// Where it is.
    pub(crate) fn link(&self) -> &Link {
        &self.link
    }

    fn into<T>(self) -> Frontend<T> {
        Frontend { link: self.link, watch: self.watch, stage: PhantomData }
    }

    /// Waits until the back end is in a state for which `decide` gives something.
    async fn wait<T>(&mut self, decide: impl Fn(State) -> Option<T>) -> Result<T, BusError> {
        loop {
            if let Some(result) = decide(self.link.back_state().await?) {
                return Ok(result);
            }
            self.watch.next().await?;
        }
    }

    /// Tells the back end that it is over: stops using the rings after this.
    pub(crate) async fn close(self) -> Result<(), BusError> {
        self.link.set_state(State::Closing).await?;
        self.link.set_state(State::Closed).await
    }
}

impl Frontend<Initialising> {
    /// Begins, whatever an earlier kernel of this guest has left.
    ///
    /// # Errors
    /// [`BusError`]
    pub(crate) async fn begin(link: Link) -> Result<Self, BusError> {
        link.set_state(State::Initialising).await?;
        let watch = link.store().watch(&link.back("state")).await?;
        Ok(Self { link, watch, stage: PhantomData })
    }

    /// Waits until the back end has written what it can do.
    ///
    /// # Errors
    /// [`BusError::Gone`] if it goes away instead.
    pub(crate) async fn negotiate(mut self) -> Result<Frontend<Negotiating>, BusError> {
        let mut was_there = false;
        loop {
            match self.link.back_state().await? {
                State::InitWait => return Ok(self.into()),
                State::Unknown if was_there => return Err(BusError::Gone),
                State::Unknown => {}
                // It may have to end with an earlier front end before it begins anew.
                _ => was_there = true,
            }
            self.watch.next().await?;
        }
    }
}

impl Frontend<Negotiating> {
    /// Writes the front end's nodes, and that it is ready, at once, and waits until the back end is.
    ///
    /// # Errors
    /// [`BusError::Closed`] if the back end does not like them, [`BusError::Gone`].
    pub(crate) async fn connect(
        mut self,
        nodes: &[(&str, String)],
    ) -> Result<Frontend<Connected>, BusError> {
        let link = &self.link;
        let publish = link.store().transaction(async |transaction| {
            // A device that was detached meanwhile must not come back.
            transaction.read(&link.front("state")).await?;
            for (name, value) in nodes {
                transaction.write(&link.front(name), value).await?;
            }
            transaction.write(&link.front("state"), State::Connected.text()).await
        });
        match publish.await {
            Err(StoreError::NotFound) => return Err(BusError::Gone),
            result => result?,
        }
        self.wait(|state| match state {
            State::Connected | State::Reconfiguring | State::Reconfigured => Some(Ok(())),
            State::Closing | State::Closed => Some(Err(BusError::Closed)),
            State::Unknown => Some(Err(BusError::Gone)),
            State::Initialising | State::InitWait | State::Initialised => None,
        })
        .await??;
        Ok(self.into())
    }
}

impl Frontend<Connected> {
    /// Waits until the back end is not there for this front end any more.
    ///
    /// # Errors
    /// If XenStore fails.
    pub(crate) async fn lost(&mut self) -> Result<BusError, BusError> {
        self.wait(|state| match state {
            State::Connected | State::Reconfiguring | State::Reconfigured => None,
            State::Unknown => Some(BusError::Gone),
            _ => Some(BusError::Closed),
        })
        .await
    }
}
