//! A front end on its way through the states.

use alloc::{rc::Rc, string::String};
use core::{future::poll_fn, marker::PhantomData, pin::pin, task::Poll};

use super::{BusError, Link, State};
use crate::store::{StoreError, Watch};

/// It has begun, and the back end has not said what it can do yet.
pub(crate) struct Initialising;
/// The back end waits for the front end's rings.
pub(crate) struct Negotiating;
/// The back end knows the rings.
pub(crate) struct Connected;

/// It does not use its rings any more.
pub(crate) struct Ended;

/// A front end in the state `S`.
pub(crate) struct Frontend<S> {
    link: Rc<Link>,
    /// Watches the back end's state.
    watch: Watch,
    /// Watches the front end's directory, by a node that only the tools write.
    presence: Watch,
    stage: PhantomData<S>,
}

impl<S> Frontend<S> {
    /// Where it is.
    pub(crate) fn link(&self) -> &Rc<Link> {
        &self.link
    }

    async fn watch(link: Rc<Link>) -> Result<Self, BusError> {
        let watch = link.store().watch(&link.back("state")).await?;
        let presence = link.store().watch(&link.front("backend")).await?;
        Ok(Self { link, watch, presence, stage: PhantomData })
    }

    fn into<T>(self) -> Frontend<T> {
        let Self { link, watch, presence, .. } = self;
        Frontend { link, watch, presence, stage: PhantomData }
    }

    /// Waits until something may have changed.
    async fn changed(&mut self) -> Result<(), BusError> {
        let (mut back, mut front) = (pin!(self.watch.next()), pin!(self.presence.next()));
        let path = poll_fn(|cx| match back.as_mut().poll(cx) {
            Poll::Pending => front.as_mut().poll(cx),
            ready => ready,
        });
        path.await?;
        Ok(())
    }

    /// Waits until the back end is in a state for which `decide` gives something, or the device was
    /// detached, which is [`BusError::Gone`].
    async fn wait<T>(&mut self, decide: impl Fn(State) -> Option<T>) -> Result<T, BusError> {
        loop {
            if !self.link.is_there().await? {
                return Err(BusError::Gone);
            }
            if let Some(result) = decide(self.link.back_state().await?) {
                return Ok(result);
            }
            self.changed().await?;
        }
    }
}

impl Frontend<Ended> {
    /// Tells the back end that the rings are not used any more.
    ///
    /// # Errors
    /// [`BusError`]
    pub(crate) async fn end(link: Rc<Link>) -> Result<Self, BusError> {
        link.close().await?;
        Self::watch(link).await
    }

    /// Waits until the back end does not use the rings any more either, and begins.
    ///
    /// # Errors
    /// [`BusError::Gone`] if the device was detached.
    pub(crate) async fn begin_again(mut self) -> Result<Frontend<Initialising>, BusError> {
        let mut has_heard = false;
        loop {
            if !self.link.is_there().await? {
                return Err(BusError::Gone);
            }
            let state = self.link.back_state().await?;
            // One that has begun already may not know of the end yet, and be about to map the old
            // rings, whose references are given to other pages soon. It closes when it hears of it.
            has_heard |= state != State::InitWait;
            let is_ready = match state {
                State::InitWait => has_heard,
                // A back end that is about to be detached does not begin again.
                State::Closed | State::Initialising => self.link.is_wanted().await?,
                _ => false,
            };
            if is_ready {
                break;
            }
            self.changed().await?;
        }
        self.link.set_state(State::Initialising).await?;
        Ok(self.into())
    }
}

impl Frontend<Initialising> {
    /// Begins, whatever an earlier kernel of this guest has left.
    ///
    /// # Errors
    /// [`BusError`]
    pub(crate) async fn begin(link: Rc<Link>) -> Result<Self, BusError> {
        link.set_state(State::Initialising).await?;
        Self::watch(link).await
    }

    /// Waits until the back end has written what it can do. It may have to end with an earlier front
    /// end before it begins anew.
    ///
    /// # Errors
    /// [`BusError::Gone`] if the device is detached instead.
    pub(crate) async fn negotiate(mut self) -> Result<Frontend<Negotiating>, BusError> {
        self.wait(|state| (state == State::InitWait).then_some(())).await?;
        Ok(self.into())
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
