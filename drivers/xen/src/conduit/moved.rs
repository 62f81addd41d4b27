//! What if the other side is in another domain meanwhile, because it was restored or has migrated:
//! nothing will ever come from the one that its name has led to.

use alloc::format;
use core::{future::poll_fn, pin::pin, task::Poll};

use super::DIRECTORY;
use crate::{
    grants::DomainId,
    store::{Store, StoreError},
};

/// What `future` comes to, or `None` if `name` leads to another domain than `domain` before that. A
/// name that leads nowhere does not count: who has had it may have done its part.
///
/// # Errors
/// If XenStore fails.
pub(super) async fn unless_moved<T>(
    store: &Store,
    name: &str,
    domain: DomainId,
    future: impl Future<Output = T>,
) -> Result<Option<T>, StoreError> {
    let path = format!("{DIRECTORY}/{name}");
    let mut watch = store.watch(&path).await?;
    let moved = async {
        loop {
            watch.next().await?;
            if store.read_number(&path).await.is_ok_and(|now: u16| now != domain.0) {
                return Ok(());
            }
        }
    };
    let (mut future, mut moved) = (pin!(future), pin!(moved));
    poll_fn(|cx| {
        if let Poll::Ready(result) = future.as_mut().poll(cx) {
            return Poll::Ready(Ok(Some(result)));
        }
        moved.as_mut().poll(cx).map(|moved: Result<(), StoreError>| moved.map(|()| None))
    })
    .await
}
