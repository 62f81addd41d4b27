//! How a console comes to work: the nodes that both sides write.

use alloc::{
    format,
    string::{String, ToString},
    vec::Vec,
};
use core::cell::RefCell;

use super::{Channel, ChannelError, Connection};
use crate::{
    Sharing,
    breaks::Breaks,
    bus::{self, ConnectError, Connector, Line, Minder, Node, Offer, Seen, granted_page},
    grants::{DomainId, GrantTable},
    store::Store,
};

/// The class of these devices.
const CLASS: &str = "console";

/// States in which nobody has the console open: it is new, or was closed (`enum xenbus_state`). Also,
/// somebody may have given up to wait for it.
const FREE: [&str; 3] = ["1", "5", "6"];

mayfly_arch::local! {
    /// Consoles that are being opened: XenStore does not tell of them before that has come to
    /// something.
    static OPENING: RefCell<Vec<String>> = RefCell::new(Vec::new());
}

/// The right to open a console, until this is dropped.
struct Opening(String);

impl Opening {
    /// `None` if somebody else has it.
    fn of(name: &str) -> Option<Self> {
        OPENING.with(|opening| {
            let mut opening = opening.borrow_mut();
            if opening.iter().any(|other| other == name) {
                return None;
            }
            opening.push(name.to_string());
            Some(Self(name.to_string()))
        })
    }
}

impl Drop for Opening {
    fn drop(&mut self) {
        OPENING.with(|opening| opening.borrow_mut().retain(|other| *other != self.0));
    }
}

/// Opens the console that the guest's configuration calls `name`, as soon as its back end is ready.
/// The back end may go and come back later. Returns the console, and who is to watch over it.
///
/// # Errors
/// [`ChannelError`]
pub async fn open(
    store: &Store,
    sharing: Sharing,
    name: &str,
) -> Result<(Channel, Minder), ChannelError> {
    let _opening = Opening::of(name).ok_or(ChannelError::InUse)?;
    let directory = find(store, name).await?;
    let connector = ChannelConnector { sharing };
    let ((), session, minder) = bus::start(store, &directory, connector).await?;
    Ok((Channel { session, breaks: Breaks::default() }, minder))
}

/// The directory of the console of this name.
async fn find(store: &Store, name: &str) -> Result<String, ChannelError> {
    let directories = bus::devices(store, CLASS).await?;
    let node = |name: &str| -> Vec<String> {
        directories.iter().map(|directory| format!("{directory}/{name}")).collect()
    };
    let names = store.read_each(&node("name")).await?;
    let is_it = |found: &Option<String>| found.as_deref() == Some(name);
    let index = names.iter().position(is_it).ok_or(ChannelError::NotFound)?;
    let directory = directories.into_iter().nth(index).ok_or(ChannelError::NotFound)?;
    let state = store.read_text(&format!("{directory}/state")).await?;
    let is_free = FREE.contains(&state.as_str()) || bus::is_left_behind(&directory);
    if is_free { Ok(directory) } else { Err(ChannelError::InUse) }
}

/// How a console connects.
struct ChannelConnector {
    sharing: Sharing,
}

impl Connector for ChannelConnector {
    type Info = ();
    type Connection = Connection;

    const FEATURES: &'static [Node] = &[];
    const PROPERTIES: &'static [Node] = &[];

    fn grants(&self) -> &'static GrantTable {
        self.sharing.grants
    }

    fn offer(
        &self,
        _: &Seen,
        domain: DomainId,
        line: &Line<Connection>,
        offer: &mut Offer,
    ) -> Result<Connection, ConnectError> {
        let page = granted_page(&self.sharing.grants.reserve(1)?, domain)?;
        let channel = self.sharing.events.alloc_unbound(domain)?;
        line.listen(&channel)?;
        offer.add("ring-ref", page.reference().0);
        offer.add("port", channel.port().number());
        Ok(Connection { page, channel, read: 0, written: 0 })
    }

    fn finish(&self, _: &Seen, _: &mut Connection) -> Result<(), ConnectError> {
        Ok(())
    }
}
