//! Several nodes at once: all requests go out before the first reply is waited for, so that they
//! cost one turn of the store together.

use alloc::{string::String, vec::Vec};

use super::{
    StoreError,
    nodes::{Nodes, text},
    request::Request,
    wire::Kind,
};

/// What a request that is under way may come to.
type Sent = Result<Request, StoreError>;

impl Nodes {
    /// The values of nodes, in their order; `None` for one that is not there, belongs to others, or
    /// is no text.
    ///
    /// # Errors
    /// [`StoreError`], of another kind.
    pub async fn read_each(&self, paths: &[String]) -> Result<Vec<Option<String>>, StoreError> {
        let requests = paths.iter().map(|path| self.ask(Kind::Read, path, b"")).collect();
        let values = replies(requests).await.into_iter().map(|reply| match reply.and_then(text) {
            Ok(value) => Ok(Some(value)),
            Err(StoreError::NotFound | StoreError::Denied | StoreError::Invalid) => Ok(None),
            Err(error) => Err(error),
        });
        values.collect()
    }

    /// Sets the values of nodes: pairs of path and value. Where it fails, others may be set.
    ///
    /// # Errors
    /// As of [`write`](Self::write), for the first that failed.
    pub async fn write_each(&self, nodes: &[(String, String)]) -> Result<(), StoreError> {
        let write =
            |(path, value): &(String, String)| self.ask(Kind::Write, path, value.as_bytes());
        let requests = nodes.iter().map(write).collect();
        replies(requests).await.into_iter().try_for_each(|reply| reply.map(drop))
    }
}

/// Waits for the replies to all requests.
async fn replies(requests: Vec<Sent>) -> Vec<Result<Vec<u8>, StoreError>> {
    let mut replies = Vec::with_capacity(requests.len());
    for request in requests {
        replies.push(match request {
            Ok(request) => request.await.map_err(StoreError::from),
            Err(error) => Err(error),
        });
    }
    replies
}
