//! A front end on its way through the states.

use alloc::{rc::Rc, vec::Vec};
use core::{future::poll_fn, marker::PhantomData, task::Poll};

use super::{
    BusError, Connected, Ended, Initialising, Link, Negotiating, Node, Offer, State, left,
    link::{LEAD, Look},
};
use crate::store::{Store, Watch};

/// A front end in the state `S`.
pub struct Frontend<S> {
    progress: Progress,
    stage: PhantomData<S>,
}

/// What all states have.
struct Progress {
    link: Rc<Link>,
    /// Of the back end's state, and of the front end's directory.
    watches: Vec<Watch>,
}

/// What how things are means for who waits: `None` that there is more to wait for.
type Decide = fn(&Look) -> Option<Result<(), BusError>>;

impl Progress {
    async fn new(link: Rc<Link>) -> Result<Self, BusError> {
        let mut watches = Vec::new();
        for node in [Node::Back("state"), LEAD] {
            watches.push(link.store().watch(&link.path(node)).await?);
        }
        Ok(Self { link, watches })
    }

    /// Waits until something may have changed.
    async fn changed(&mut self) -> Result<(), BusError> {
        poll_fn(|cx| {
            let mut polls = self.watches.iter_mut().map(|watch| watch.poll_next(cx));
            polls.find(Poll::is_ready).unwrap_or(Poll::Pending)
        })
        .await?;
        Ok(())
    }

    /// Waits until `is_over` of how things are.
    async fn wait_for(&mut self, is_over: &mut dyn FnMut(Look) -> bool) -> Result<(), BusError> {
        while !is_over(self.link.look().await?) {
            self.changed().await?;
        }
        Ok(())
    }

    /// Waits until `decide` gives something for how things are.
    async fn wait(&mut self, decide: Decide) -> Result<(), BusError> {
        let mut result = Ok(());
        let mut is_over = |look: Look| match decide(&look) {
            Some(decision) => {
                result = decision;
                true
            }
            None => false,
        };
        self.wait_for(&mut is_over).await?;
        result
    }
}

impl<S> Frontend<S> {
    /// Where it is.
    pub fn link(&self) -> &Rc<Link> {
        &self.progress.link
    }

    fn new(progress: Progress) -> Self {
        Self { progress, stage: PhantomData }
    }
}

impl Frontend<Ended> {
    /// Tells the back end that the rings are not used any more.
    ///
    /// # Errors
    /// [`BusError`]
    pub async fn end(link: Rc<Link>) -> Result<Self, BusError> {
        link.close().await?;
        Ok(Self::new(Progress::new(link).await?))
    }

    /// Waits until the back end does not use the rings any more either, and begins.
    ///
    /// # Errors
    /// [`BusError::Gone`] if the device was detached.
    pub async fn begin_again(mut self) -> Result<Frontend<Initialising>, BusError> {
        self.heard().await?;
        self.progress.link.publish(Offer::default(), State::Initialising).await?;
        Ok(Frontend::new(self.progress))
    }

    /// Waits until the back end does not use the rings any more either.
    ///
    /// # Errors
    /// As of [`begin_again`](Self::begin_again).
    pub async fn heard(&mut self) -> Result<(), BusError> {
        let mut has_heard = false;
        let mut is_ready = |Look { state, is_wanted, own }: Look| {
            // Somebody else has begun again, who has waited for that.
            if !matches!(own, State::Closing | State::Closed) {
                return true;
            }
            // One that has begun already may not know of the end yet, and be about to map the old
            // rings, whose references are given to other pages soon. It closes when it hears of it.
            has_heard |= state != State::InitWait;
            match state {
                State::InitWait => has_heard,
                // A back end that is about to be detached does not begin again.
                State::Closed | State::Initialising => is_wanted,
                _ => false,
            }
        };
        self.progress.wait_for(&mut is_ready).await
    }
}

impl Frontend<Initialising> {
    /// Finds the back end of the device whose front end has this directory, and begins. Whoever was
    /// there before may have gone half way, or not have told the back end of its end: an earlier
    /// kernel of this guest, or who has given up to wait. The back end hears of that end first; some,
    /// as Linux' blkback, do not begin anew otherwise.
    ///
    /// # Errors
    /// [`BusError`]
    pub async fn begin(store: &Store, front: &str) -> Result<Self, BusError> {
        let link = Rc::new(Link::find(store, front).await?);
        let is_new = matches!(link.look().await?.own, State::Unknown | State::Initialising);
        let frontend = if is_new {
            link.publish(Offer::default(), State::Initialising).await?;
            Self::new(Progress::new(link).await?)
        } else {
            Frontend::end(link).await?.begin_again().await?
        };
        left::clear(front);
        Ok(frontend)
    }

    /// Waits until the back end has written what it can do. It may have to end with an earlier front
    /// end before it begins anew.
    ///
    /// # Errors
    /// [`BusError::Gone`] if the device is detached instead.
    pub async fn negotiate(mut self) -> Result<Frontend<Negotiating>, BusError> {
        self.progress.wait(|look| (look.state == State::InitWait).then_some(Ok(()))).await?;
        Ok(Frontend::new(self.progress))
    }
}

impl Frontend<Negotiating> {
    /// Writes the front end's nodes, and that it is ready, at once, and waits until the back end is.
    ///
    /// # Errors
    /// [`BusError::Closed`] if the back end does not like them, [`BusError::Gone`].
    pub async fn connect(mut self, offer: Offer) -> Result<Frontend<Connected>, BusError> {
        self.progress.link.publish(offer, State::Connected).await?;
        let decide: Decide = |look| match look.state {
            // The device was made anew while nobody looked, and its back end waits for a beginning.
            _ if look.own != State::Connected => Some(Err(BusError::Gone)),
            State::Connected | State::Reconfiguring | State::Reconfigured => Some(Ok(())),
            State::Closing | State::Closed => Some(Err(BusError::Closed)),
            State::Unknown => Some(Err(BusError::Gone)),
            State::Initialising | State::InitWait | State::Initialised => None,
        };
        self.progress.wait(decide).await?;
        Ok(Frontend::new(self.progress))
    }
}

impl Frontend<Connected> {
    /// Waits until the back end is not there for this front end any more. Returns why:
    /// [`BusError::Closed`] if it may come back.
    pub async fn lost(mut self) -> BusError {
        let decide: Decide = |look| match look.state {
            State::Connected | State::Reconfiguring | State::Reconfigured => None,
            _ => Some(Err(BusError::Closed)),
        };
        match self.progress.wait(decide).await {
            Err(error) => error,
            Ok(()) => BusError::Closed,
        }
    }
}
