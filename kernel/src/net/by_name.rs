//! Connections to hosts by their names.

use alloc::{boxed::Box, rc::Rc};
use core::{cell::RefCell, net::SocketAddr};

use mayfly_device::Boxed;

use super::{AddressKind, Error, Network, Stream, TcpStream, stream::Channel};

/// What the names of domains of the same Xen end with.
const XEN: &str = ".xen";

/// Who connects to the domains of the same Xen by their names.
pub(crate) trait Names {
    /// Connects to `port` of who is called `name`, without what such names end with.
    fn connect<'a>(&'a self, name: &'a str, port: u16) -> Connecting<'a>;
}

/// A connection that comes to be.
pub(crate) type Connecting<'a> = Boxed<'a, crate::Result<Box<dyn Channel>>>;

mayfly_arch::local! {
    static NAMES: RefCell<Option<Rc<dyn Names>>> = RefCell::new(None);
}

/// Has names that end in `.xen` connected by `names` from now on. Nothing of that is in the images of
/// apps that do not call this.
pub(crate) fn set_names(names: Rc<dyn Names>) {
    let before = NAMES.with(|place| place.replace(Some(names)));
    drop(before);
}

impl Network {
    /// Connects to `port` of `host`: a name, or an address.
    ///
    /// A name is looked up, and its addresses are tried one after the other, those of IPv4 first,
    /// until somebody answers.
    ///
    /// A name that ends in `.xen` is that of another domain of the same Xen, and the stream does not
    /// go through this network but through memory that the two have, by
    /// [Conduit](crate::xen::Conduit::use_for_names). This waits until the other domain accepts it,
    /// which may be never: use a [`timeout`](crate::time::timeout).
    ///
    /// # Errors
    /// [`Error::Net`](crate::Error::Net) as of [`resolve`](Self::resolve) and
    /// [`TcpStream::connect`]: what went wrong with the last address. For a domain of Xen,
    /// [`Error::Missing`](crate::Error::Missing) if the app does not use Conduit for names, and
    /// otherwise a [`ConduitError`](crate::xen::ConduitError) in
    /// [`Error::Other`](crate::Error::Other).
    pub async fn connect(&self, host: &str, port: u16) -> crate::Result<Stream> {
        match xen_name(host) {
            Some(name) => connect_to_domain(name, port).await,
            None => Ok(Stream::from(self.connect_tcp(host, port).await?)),
        }
    }

    async fn connect_tcp(&self, host: &str, port: u16) -> Result<TcpStream, Error> {
        let mut last = Error::NameNotFound;
        for kind in [AddressKind::V4, AddressKind::V6] {
            let addresses = match self.resolve(host, kind).await {
                Err(Error::NameNotFound) => continue,
                addresses => addresses?,
            };
            for address in addresses {
                match TcpStream::connect(self, SocketAddr::new(address, port)).await {
                    Err(error) => last = error,
                    connected => return connected,
                }
            }
        }
        Err(last)
    }
}

/// The name of the domain, if `host` is one of the same Xen. As elsewhere in names of hosts, capital
/// letters mean the same.
fn xen_name(host: &str) -> Option<&str> {
    let (name, suffix) = host.split_at_checked(host.len().checked_sub(XEN.len())?)?;
    suffix.eq_ignore_ascii_case(XEN).then_some(name)
}

async fn connect_to_domain(name: &str, port: u16) -> crate::Result<Stream> {
    const MISSING: crate::Error = crate::Error::Missing(
        "a name that ends in .xen is that of another domain of the same Xen; to connect to it, the \
         app calls xen.conduit(…) first, and use_for_names() of what that gives",
    );
    let names = NAMES.with(|names| names.borrow().clone()).ok_or(MISSING)?;
    Ok(Stream::from(names.connect(name, port).await?))
}

#[cfg(test)]
mod tests;
