//! Several nodes at once: all requests go out before the first reply is waited for, so that they
//! cost one turn of the store together.

use alloc::{string::String, vec::Vec};
use core::{
    fmt, mem,
    pin::Pin,
    task::{Context, Poll, ready},
};

use super::{
    StoreError,
    nodes::{Nodes, text},
    request::Request,
    wire::Kind,
};

/// What a request that is under way may come to.
type Sent = Result<Request, StoreError>;
/// What it has come to.
type Payload = Result<Vec<u8>, StoreError>;

impl Nodes {
    /// The values of nodes, in their order; `None` for one that is not there, belongs to others, or
    /// is no text.
    ///
    /// # Errors
    /// [`StoreError`], of another kind.
    pub fn read_each(&self, paths: &[String]) -> Replies<Vec<Option<String>>> {
        let requests = paths.iter().map(|path| self.ask(Kind::Read, path, b"")).collect();
        Replies::new(requests, |replies| {
            let values = replies.into_iter().map(|reply| match reply.and_then(text) {
                Ok(value) => Ok(Some(value)),
                Err(StoreError::NotFound | StoreError::Denied | StoreError::Invalid) => Ok(None),
                Err(error) => Err(error),
            });
            values.collect()
        })
    }

    /// Sets the values of nodes: pairs of path and value. Where it fails, others may be set.
    ///
    /// # Errors
    /// As of [`write`](Self::write), for the first that failed.
    pub fn write_each(&self, nodes: &[(String, String)]) -> Replies<()> {
        let write =
            |(path, value): &(String, String)| self.ask(Kind::Write, path, value.as_bytes());
        let requests = nodes.iter().map(write).collect();
        Replies::new(requests, |replies| replies.into_iter().try_for_each(|reply| reply.map(drop)))
    }
}

/// What XenStore answers to several requests, some time later. They are on their way as soon as
/// there is this; dropped, they are given up, but may have been done all the same.
#[must_use = "the requests are given up when this is dropped: await it"]
pub struct Replies<T> {
    several: Several,
    /// Reads the payloads.
    read: fn(Vec<Payload>) -> Result<T, StoreError>,
}

/// Requests, and the replies to the first of them.
struct Several {
    requests: Vec<Sent>,
    replies: Vec<Payload>,
}

impl<T> Replies<T> {
    fn new(requests: Vec<Sent>, read: fn(Vec<Payload>) -> Result<T, StoreError>) -> Self {
        let replies = Vec::with_capacity(requests.len());
        Self { several: Several { requests, replies }, read }
    }
}

impl Several {
    /// Waits for the replies to all requests.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Vec<Payload>> {
        while let Some(request) = self.requests.get_mut(self.replies.len()) {
            self.replies.push(match request {
                Ok(request) => ready!(Pin::new(request).poll(cx)).map_err(StoreError::from),
                Err(error) => Err(*error),
            });
        }
        Poll::Ready(mem::take(&mut self.replies))
    }
}

impl<T> Future for Replies<T> {
    type Output = Result<T, StoreError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.several.poll(cx).map(self.read)
    }
}

impl<T> fmt::Debug for Replies<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Replies").finish_non_exhaustive()
    }
}
