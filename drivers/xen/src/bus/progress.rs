//! What a front end that is on its way knows of how things are, and waits for.

use alloc::rc::Rc;
use core::future::poll_fn;

use super::{
    BusError, Link, Node, Offer, State,
    link::{LEAD, Look},
};
use crate::store::{Watch, poll_any};

/// What all stages of a front end have.
pub(super) struct Progress {
    link: Rc<Link>,
    /// Of the back end's state, and of the node that leads to it. Who makes the device anew, or has it
    /// go, writes one of them.
    watches: [Watch; 2],
    /// How things were when this looked last, unless the watches have told something since.
    last: Option<Look>,
}

/// What how things are means for who waits: `None` that there is more to wait for.
pub(super) type Decide = fn(&Look) -> Option<Result<(), BusError>>;

impl Progress {
    pub(super) async fn new(link: Rc<Link>) -> Result<Self, BusError> {
        let watch = |node| link.store().watch(&link.path(node));
        let [state, lead] = [Node::Back("state"), LEAD].map(watch);
        let mut watches = [state.await?, lead.await?];
        for watch in &mut watches {
            // Each tells something at first, which is nothing new for who has not looked yet.
            watch.next().await?;
        }
        Ok(Self { link, watches, last: None })
    }

    /// Where the front end is.
    pub(super) fn link(&self) -> &Rc<Link> {
        &self.link
    }

    /// How things were when they were read last, which is once for each change that
    /// [`changed`](Self::changed) has told of: each read is work for the one who keeps XenStore, and
    /// often the back end waits for the same one. Who does not wait afterwards may act on old news,
    /// unless they are [forgotten](Self::forget).
    ///
    /// # Errors
    /// As of [`Link::look`].
    pub(super) async fn look(&mut self) -> Result<Look, BusError> {
        let look = match self.last {
            Some(look) => look,
            None => self.link.look().await?,
        };
        self.last = Some(look);
        Ok(look)
    }

    /// Has the next look read how things are.
    pub(super) fn forget(&mut self) {
        self.last = None;
    }

    /// As [`Link::publish`].
    ///
    /// # Errors
    /// As there.
    pub(super) async fn publish(&mut self, nodes: Offer, state: State) -> Result<(), BusError> {
        self.link.publish(nodes, state).await?;
        if let Some(last) = &mut self.last {
            last.own = state;
        }
        Ok(())
    }

    /// Waits until that may be otherwise.
    ///
    /// # Errors
    /// If XenStore fails.
    pub(super) async fn changed(&mut self) -> Result<(), BusError> {
        poll_fn(|cx| poll_any(&mut self.watches, cx)).await?;
        self.last = None;
        Ok(())
    }

    /// Waits until `decide` gives something for how things are.
    ///
    /// # Errors
    /// As of [`look`](Self::look), or what it gives.
    pub(super) async fn wait(&mut self, decide: Decide) -> Result<(), BusError> {
        loop {
            if let Some(decision) = decide(&self.look().await?) {
                return decision;
            }
            self.changed().await?;
        }
    }
}
