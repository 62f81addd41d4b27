//! What can be done with the nodes of the tree, within a transaction or not.

use alloc::{
    string::{String, ToString},
    vec::Vec,
};
use core::{fmt, str::FromStr};

use super::{
    Permissions, StoreError,
    connection::{Connection, RequestError},
    directory,
    request::{Reply, Request},
    transaction::Within,
    wire::{self, Kind},
};

/// The nodes of the store, seen from outside of a transaction
/// ([`Store`](super::Store)) or from within ([`Transaction`](super::Transaction)).
///
/// All of this fails with [`StoreError::NotFound`], [`StoreError::Denied`] and
/// [`StoreError::Invalid`] for nodes that are not there, belong to others, or cannot be, and with
/// [`StoreError::Disconnected`] or [`StoreError::Protocol`] when there is no connection any more.
pub struct Nodes {
    connection: Connection,
    transaction: Within,
}

impl Nodes {
    pub(super) const fn new(connection: Connection, transaction: Within) -> Self {
        Self { connection, transaction }
    }

    pub(super) fn connection(&self) -> &Connection {
        &self.connection
    }

    pub(super) fn transaction(&self) -> Within {
        self.transaction
    }

    /// Sends a request about a node, with what follows its path in the payload.
    pub(super) fn ask(&self, kind: Kind, path: &str, rest: &[u8]) -> Result<Request, StoreError> {
        self.connection.request(kind, self.transaction, &[wire::path(path)?, b"\0", rest])
    }

    /// The value of a node.
    ///
    /// # Errors
    /// [`StoreError`]
    pub fn read(&self, path: &str) -> Reply<Vec<u8>> {
        Reply::new(self.ask(Kind::Read, path, b""), Ok)
    }

    /// The value of a node, as text.
    ///
    /// # Errors
    /// [`StoreError`]; [`StoreError::Invalid`] if it is no text.
    pub fn read_text(&self, path: &str) -> Reply<String> {
        Reply::new(self.ask(Kind::Read, path, b""), text)
    }

    /// The value of a node, as the number that its text means, or whatever else a `T` is.
    ///
    /// # Errors
    /// [`StoreError`]; [`StoreError::Invalid`] if it is no such number.
    pub fn read_number<T: FromStr>(&self, path: &str) -> Reply<T> {
        Reply::new(self.ask(Kind::Read, path, b""), |value| {
            text(value)?.parse().map_err(|_| StoreError::Invalid)
        })
    }

    /// Sets the value of a node. The node and those above it are made if they are not there.
    ///
    /// # Errors
    /// [`StoreError`]; [`StoreError::TooLarge`] if path and value together have more than 4095 bytes,
    /// [`StoreError::Quota`] if the value is longer than the store lets a guest have, which may be
    /// 2048 bytes, or the nodes are too many.
    pub fn write(&self, path: &str, value: impl AsRef<[u8]>) -> Reply<()> {
        self.change(Kind::Write, path, value.as_ref())
    }

    /// Makes a node without a value, and those above it. One that is there keeps its value.
    ///
    /// # Errors
    /// [`StoreError`]
    pub fn make_directory(&self, path: &str) -> Reply<()> {
        self.change(Kind::MakeDirectory, path, b"")
    }

    /// Removes a node and all below it. It need not be there.
    ///
    /// # Errors
    /// [`StoreError`]; [`StoreError::NotFound`] if the node above it is not there.
    pub fn remove(&self, path: &str) -> Reply<()> {
        self.change(Kind::Remove, path, b"")
    }

    fn change(&self, kind: Kind, path: &str, rest: &[u8]) -> Reply<()> {
        Reply::new(self.ask(kind, path, rest), |_| Ok(()))
    }

    /// The names of the nodes right below a node, in no particular order.
    ///
    /// # Errors
    /// [`StoreError`]; [`StoreError::Again`] if it keeps changing while it is read in parts, and
    /// [`StoreError::TooLarge`] if all names take more than 64 KiB, more memory than there is, or
    /// more than the daemon can list.
    pub async fn directory(&self, path: &str) -> Result<Vec<String>, StoreError> {
        let list = match self.ask(Kind::Directory, path, b"")?.await {
            Err(RequestError { is_too_big: true, .. }) => directory::read(self, path).await?,
            reply => reply?,
        };
        directory::names(&list)
    }

    /// Who may read and write a node.
    ///
    /// # Errors
    /// [`StoreError`]
    pub fn permissions(&self, path: &str) -> Reply<Permissions> {
        Reply::new(self.ask(Kind::GetPermissions, path, b""), |payload| {
            wire::texts(&payload).and_then(Permissions::from_wire).ok_or(StoreError::Protocol)
        })
    }

    /// Says who may read and write a node. Only its owner, or a domain that may do everything, can
    /// give it away.
    ///
    /// # Errors
    /// [`StoreError`]
    pub fn set_permissions(&self, path: &str, permissions: &Permissions) -> Reply<()> {
        self.change(Kind::SetPermissions, path, permissions.to_wire().as_bytes())
    }

    /// The directory of the domain of this number: that to which its relative paths lead.
    ///
    /// # Errors
    /// [`StoreError`]
    pub fn domain_path(&self, domain: u16) -> Reply<String> {
        Reply::new(self.ask(Kind::GetDomainPath, &domain.to_string(), b""), |payload| {
            Ok(wire::text(&payload).ok_or(StoreError::Protocol)?.to_string())
        })
    }
}

pub(super) fn text(value: Vec<u8>) -> Result<String, StoreError> {
    String::from_utf8(value).map_err(|_| StoreError::Invalid)
}

impl fmt::Debug for Nodes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Nodes").field("transaction", &self.transaction).finish_non_exhaustive()
    }
}
