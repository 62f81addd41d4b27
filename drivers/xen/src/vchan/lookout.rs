//! Who looks whether the other side's domain is still there.
//!
//! Linux clears the live byte of a process that has died, and sends an event. Of a domain that has
//! died, nobody tells a guest: its memory stays as long as it is mapped, and the event channel is open
//! again for a domain that will not come back. That the channel is no longer connected is what Xen
//! says when it is asked; when to ask, XenStore tells:
//!
//! - a client watches the nodes of the server, which go with it;
//! - a server, which may not see the nodes of the client, watches `@releaseDomain`, which stands for
//!   any domain that is gone. That is told only where dom0 lets the guest know
//!   (`xenstore-chmod @releaseDomain n0 rDOMID`).

use alloc::{
    rc::{Rc, Weak},
    string::String,
};
use core::{fmt, time::Duration};

use super::{VchanError, end::End, stream::Vchan};
use crate::{
    grants::DomainId,
    store::{Store, Watch},
};

/// Stands for any domain that is gone.
const RELEASE_DOMAIN: &str = "@releaseDomain";
/// How often is looked for a domain whose nodes have gone, and how long between two looks: the tools
/// remove them some time before the domain itself.
const LOOKS: u32 = 20;
const PAUSE: Duration = Duration::from_millis(250);

/// Who looks whether the other side's domain is still there: see [`run`](Self::run).
pub struct Lookout {
    end: Weak<End>,
    store: Store,
    watch: Option<Watch>,
    /// A node that goes with the other side; with none, it is asked at each event.
    node: Option<String>,
}

impl Lookout {
    /// Looks after the server of `channel`, by a watch on its nodes.
    pub(super) fn of_server(channel: &Vchan, store: &Store, watch: Watch, node: String) -> Self {
        let end = Rc::downgrade(channel.end());
        Self { end, store: store.clone(), watch: Some(watch), node: Some(node) }
    }

    /// Looks after the client of `channel`, unless that is dom0, which does not go.
    pub(super) fn of_client(channel: &Vchan, store: &Store, client: DomainId) -> Self {
        let is_needed = client != DomainId(0);
        let end = if is_needed { Rc::downgrade(channel.end()) } else { Weak::new() };
        Self { end, store: store.clone(), watch: None, node: None }
    }

    /// Ends the channel when the other side's domain has gone, with the kernel's `sleep`. To be
    /// dropped with the channel; if XenStore does not do its part, nobody looks.
    pub async fn run(mut self, sleep: impl AsyncFn(Duration)) {
        if self.end.strong_count() == 0 {
            return;
        }
        let watch = match self.watch.take() {
            Some(watch) => Ok(watch),
            None => self.store.watch(RELEASE_DOMAIN).await,
        };
        let Ok(mut watch) = watch else { return };
        while watch.next().await.is_ok() {
            let is_gone = match &self.node {
                Some(node) => self.store.read(node).await.is_err(),
                None => false,
            };
            for _ in 0..if is_gone { LOOKS } else { 1 } {
                let Some(end) = self.end.upgrade() else { return };
                if !end.channel.is_connected() {
                    end.fail(VchanError::Gone);
                    return;
                }
                drop(end);
                if is_gone {
                    sleep(PAUSE).await;
                }
            }
        }
    }
}

impl fmt::Debug for Lookout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lookout").finish_non_exhaustive()
    }
}
