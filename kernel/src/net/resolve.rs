//! Names to addresses, by DNS (RFC 1035), with smoltcp's resolver.

use alloc::vec::Vec;
use core::{
    future::poll_fn,
    net::IpAddr,
    task::{Context, Poll},
    time::Duration,
};

use smoltcp::{
    socket::dns::{DnsQuery, GetQueryResultError, QueryHandle, Socket, StartQueryError},
    wire::DnsQueryType,
};

use super::{Error, Network, stack::Stack};
use crate::{
    executor::{Awaiting, describe},
    memory,
    time::Instant,
};

/// Queries that may be under way at the same time.
const MAX_QUERIES: usize = 32;
/// What smoltcp may allocate for a query, in bytes: a vector that grows to twice its length.
const QUERY_ROOMS: [usize; 4] = {
    let query = size_of::<Option<DnsQuery>>();
    [4 * query, 8 * query, 16 * query, MAX_QUERIES * query]
};
/// How long smoltcp waits for the answer of one server.
const ANSWER_TIME: Duration = Duration::from_secs(10);

/// The kind of address that is looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AddressKind {
    /// IPv4: A records.
    V4,
    /// IPv6: AAAA records.
    V6,
}

impl Network {
    /// Looks up the addresses of a host. At least one, if there is no error.
    ///
    /// A name server that does not answer within 10 seconds is followed by the next one. A name
    /// that is an address already is not looked up.
    ///
    /// # Errors
    /// [`Error::InvalidName`], [`Error::NameNotFound`], [`Error::NoNameServer`],
    /// [`Error::TimedOut`], [`Error::Busy`], [`Error::OutOfMemory`], [`Error::DeviceGone`].
    pub async fn resolve(&self, name: &str, kind: AddressKind) -> Result<Vec<IpAddr>, Error> {
        if let Ok(address) = name.parse::<IpAddr>() {
            let is_wanted = address.is_ipv4() == (kind == AddressKind::V4);
            return if is_wanted { Ok([address].into()) } else { Err(Error::NameNotFound) };
        }
        let handle = self.with(|stack| stack.start_query(name, kind))?;
        let mut query = Query { network: self, handle: Some(handle), since: Instant::now() };
        poll_fn(|cx| query.poll(cx)).await
    }
}

/// A query under way; dropping it cancels it.
struct Query<'a> {
    network: &'a Network,
    handle: Option<QueryHandle>,
    since: Instant,
}

impl Query<'_> {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<Vec<IpAddr>, Error>> {
        let Some(handle) = self.handle else { return Poll::Ready(Err(Error::Closed)) };
        let since = self.since;
        let result = self.network.with(|stack| {
            if stack.is_dead {
                return Some(Err(Error::DeviceGone));
            }
            let Some(socket) = stack.dns() else { return Some(Err(Error::NoNameServer)) };
            match socket.get_query_result(handle) {
                Ok(addresses) if addresses.is_empty() => Some(Err(Error::NameNotFound)),
                Ok(addresses) => Some(Ok(addresses.iter().map(|&at| at.into()).collect())),
                // smoltcp does not say which: no answer takes it at least that long.
                Err(GetQueryResultError::Failed) if since.elapsed() >= ANSWER_TIME => {
                    Some(Err(Error::TimedOut))
                }
                Err(GetQueryResultError::Failed) => Some(Err(Error::NameNotFound)),
                Err(GetQueryResultError::Pending) => {
                    socket.register_query_waker(handle, cx.waker());
                    describe(Awaiting::new("a name server", 0));
                    None
                }
            }
        });
        match result {
            Some(result) => {
                // smoltcp has forgotten the query now, or will never do anything again.
                self.handle = None;
                Poll::Ready(result)
            }
            None => Poll::Pending,
        }
    }
}

impl Drop for Query<'_> {
    fn drop(&mut self) {
        self.network.with(|stack| {
            stack.queries -= 1;
            if let (Some(handle), Some(socket)) = (self.handle, stack.dns()) {
                socket.cancel_query(handle);
            }
        });
    }
}

impl Stack {
    fn dns(&mut self) -> Option<&mut Socket<'static>> {
        let handle = self.addressing.dns?;
        Some(self.base.get_mut(handle))
    }

    fn start_query(&mut self, name: &str, kind: AddressKind) -> Result<QueryHandle, Error> {
        if self.is_dead {
            return Err(Error::DeviceGone);
        }
        if self.addressing.name_servers.is_empty() {
            return Err(Error::NoNameServer);
        }
        if self.queries >= MAX_QUERIES {
            return Err(Error::Busy);
        }
        let kind = match kind {
            AddressKind::V4 => DnsQueryType::A,
            AddressKind::V6 => DnsQueryType::Aaaa,
        };
        let handle = self.addressing.dns.ok_or(Error::NoNameServer)?;
        let socket = self.base.get_mut::<Socket<'_>>(handle);
        // smoltcp takes what it needs, and cannot fail: it is there.
        for room in QUERY_ROOMS {
            memory::try_room(room, "a DNS query").map_err(|_| Error::OutOfMemory)?;
        }
        let query = socket.start_query(self.interface.context(), name, kind);
        let query = query.map_err(|error| match error {
            StartQueryError::NoFreeSlot => Error::Busy,
            StartQueryError::InvalidName | StartQueryError::NameTooLong => Error::InvalidName,
        })?;
        self.queries += 1;
        self.base_is_due();
        self.wake_runner();
        Ok(query)
    }
}
