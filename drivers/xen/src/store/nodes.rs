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
    wire::{self, Kind},
};

/// The nodes of the store, seen from outside of a transaction
/// ([`Store`](super::Store)) or from within ([`Transaction`](super::Transaction)).
///
/// All of this fails with [`StoreError::NotFound`], [`StoreError::Denied`] and
/// [`StoreError::Invalid`] for nodes that are not there, belong to others, or cannot be, and with
/// [`StoreError::Disconnected`] or [`StoreError::Protocol`] when there is no connection any more. A
/// future that is dropped gives its request up; a change may have been made all the same.
pub struct Nodes {
    connection: Connection,
    transaction: u32,
}

impl Nodes {
    pub(super) const fn new(connection: Connection, transaction: u32) -> Self {
        Self { connection, transaction }
    }

    pub(super) fn connection(&self) -> &Connection {
        &self.connection
    }

    pub(super) fn transaction(&self) -> u32 {
        self.transaction
    }

    /// Sends a request and waits for what is in the reply.
    pub(super) async fn ask(&self, kind: Kind, parts: &[&[u8]]) -> Result<Vec<u8>, RequestError> {
        self.connection.request(kind, self.transaction, parts)?.await
    }

    /// The value of a node.
    ///
    /// # Errors
    /// [`StoreError`]
    pub async fn read(&self, path: &str) -> Result<Vec<u8>, StoreError> {
        Ok(self.ask(Kind::Read, &[wire::path(path)?, b"\0"]).await?)
    }

    /// The value of a node, as text.
    ///
    /// # Errors
    /// [`StoreError`]; [`StoreError::Invalid`] if it is no text.
    pub async fn read_text(&self, path: &str) -> Result<String, StoreError> {
        String::from_utf8(self.read(path).await?).map_err(|_| StoreError::Invalid)
    }

    /// The value of a node, as the number that its text means, or whatever else a `T` is.
    ///
    /// # Errors
    /// [`StoreError`]; [`StoreError::Invalid`] if it is no such number.
    pub async fn read_number<T: FromStr>(&self, path: &str) -> Result<T, StoreError> {
        self.read_text(path).await?.parse().map_err(|_| StoreError::Invalid)
    }

    /// Sets the value of a node. The node and those above it are made if they are not there.
    ///
    /// # Errors
    /// [`StoreError`]; [`StoreError::TooLarge`] if path and value together have more than 4095 bytes,
    /// [`StoreError::Quota`] if the value is longer than the store lets a guest have, which may be
    /// 2048 bytes, or the nodes are too many.
    pub async fn write(&self, path: &str, value: impl AsRef<[u8]>) -> Result<(), StoreError> {
        self.ask(Kind::Write, &[wire::path(path)?, b"\0", value.as_ref()]).await?;
        Ok(())
    }

    /// Makes a node without a value, and those above it. One that is there keeps its value.
    ///
    /// # Errors
    /// [`StoreError`]
    pub async fn make_directory(&self, path: &str) -> Result<(), StoreError> {
        self.ask(Kind::MakeDirectory, &[wire::path(path)?, b"\0"]).await?;
        Ok(())
    }

    /// Removes a node and all below it. It need not be there.
    ///
    /// # Errors
    /// [`StoreError`]; [`StoreError::NotFound`] if the node above it is not there.
    pub async fn remove(&self, path: &str) -> Result<(), StoreError> {
        self.ask(Kind::Remove, &[wire::path(path)?, b"\0"]).await?;
        Ok(())
    }

    /// The names of the nodes right below a node, in no particular order.
    ///
    /// # Errors
    /// [`StoreError`]; [`StoreError::Again`] if it keeps changing while it is read in parts.
    pub async fn directory(&self, path: &str) -> Result<Vec<String>, StoreError> {
        let list = match self.ask(Kind::Directory, &[wire::path(path)?, b"\0"]).await {
            Err(RequestError { is_too_big: true, .. }) => directory::read(self, path).await?,
            reply => reply?,
        };
        let names = wire::texts(&list).ok_or(StoreError::Protocol)?;
        Ok(names.map(ToString::to_string).collect())
    }

    /// Who may read and write a node.
    ///
    /// # Errors
    /// [`StoreError`]
    pub async fn permissions(&self, path: &str) -> Result<Permissions, StoreError> {
        let reply = self.ask(Kind::GetPermissions, &[wire::path(path)?, b"\0"]).await?;
        wire::texts(&reply).and_then(Permissions::from_wire).ok_or(StoreError::Protocol)
    }

    /// Says who may read and write a node. Only its owner, or a domain that may do everything, can
    /// give it away.
    ///
    /// # Errors
    /// [`StoreError`]
    pub async fn set_permissions(
        &self,
        path: &str,
        permissions: &Permissions,
    ) -> Result<(), StoreError> {
        let permissions = permissions.to_wire();
        let parts = [wire::path(path)?, b"\0", permissions.as_bytes()];
        self.ask(Kind::SetPermissions, &parts).await?;
        Ok(())
    }

    /// The directory of the domain of this number: that to which its relative paths lead.
    ///
    /// # Errors
    /// [`StoreError`]
    pub async fn domain_path(&self, domain: u16) -> Result<String, StoreError> {
        let number = domain.to_string();
        let reply = self.ask(Kind::GetDomainPath, &[number.as_bytes(), b"\0"]).await?;
        Ok(wire::text(&reply).ok_or(StoreError::Protocol)?.to_string())
    }
}

impl fmt::Debug for Nodes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Nodes").field("transaction", &self.transaction).finish_non_exhaustive()
    }
}
