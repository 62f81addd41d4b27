//! A front end on its way through the states.

use alloc::rc::Rc;
use core::marker::PhantomData;

use super::{
    BusError, Connected, Ended, Initialising, Link, Negotiating, Offer, State, left,
    link::Look,
    progress::{Decide, Progress},
};
use crate::store::Store;

/// A front end in the state `S`.
pub struct Frontend<S> {
    progress: Progress,
    stage: PhantomData<S>,
}

impl<S> Frontend<S> {
    /// Where it is.
    pub fn link(&self) -> &Rc<Link> {
        self.progress.link()
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
        self.progress.publish(Offer::default(), State::Initialising).await?;
        // A back end that is late may have gone on meanwhile.
        self.progress.forget();
        Ok(Frontend::new(self.progress))
    }

    /// Waits until the back end does not use the rings any more either.
    ///
    /// # Errors
    /// As of [`begin_again`](Self::begin_again).
    pub async fn heard(&mut self) -> Result<(), BusError> {
        let mut has_heard = false;
        loop {
            let Look { state, own } = self.progress.look().await?;
            // One that has begun already may not know of the end yet, and be about to map the old
            // rings, whose references are given to other pages soon. It closes when it hears of it.
            has_heard |= state != State::InitWait;
            let is_ready = match state {
                // Somebody else has begun again, who has waited for that.
                _ if !matches!(own, State::Closing | State::Closed) => true,
                State::InitWait => has_heard,
                // A back end that is about to be detached does not begin again.
                State::Closed | State::Initialising => self.link().is_wanted().await?,
                _ => false,
            };
            if is_ready {
                return Ok(());
            }
            self.progress.changed().await?;
        }
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
        let mut progress = Progress::new(Rc::clone(&link)).await?;
        let Look { state, own } = progress.look().await?;
        let frontend = match own {
            // The tools have written that it begins, and the back end has heard of it.
            State::Initialising if state == State::InitWait => Self::new(progress),
            State::Unknown | State::Initialising => {
                progress.publish(Offer::default(), State::Initialising).await?;
                Self::new(progress)
            }
            _ => {
                drop(progress);
                Frontend::end(link).await?.begin_again().await?
            }
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

    /// As [`negotiate`](Self::negotiate), for a front end that has published rings before. A back end
    /// that is late may come to these only now, when it has been seen closed: it connects then, knows of
    /// no beginning, and has to hear of the end once more.
    ///
    /// # Errors
    /// [`BusError::Closed`] in that case; as there.
    pub async fn negotiate_again(mut self) -> Result<Frontend<Negotiating>, BusError> {
        let decide: Decide = |look| match look.state {
            State::InitWait => Some(Ok(())),
            State::Connected => Some(Err(BusError::Closed)),
            _ => None,
        };
        self.progress.wait(decide).await?;
        Ok(Frontend::new(self.progress))
    }
}

impl Frontend<Negotiating> {
    /// Writes the front end's nodes, and that it is ready, at once, and waits until the back end is.
    ///
    /// # Errors
    /// [`BusError::Closed`] if the back end does not like them, [`BusError::Gone`].
    pub async fn connect(mut self, offer: Offer) -> Result<Frontend<Connected>, BusError> {
        self.progress.publish(offer, State::Connected).await?;
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
