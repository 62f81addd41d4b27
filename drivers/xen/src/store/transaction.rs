//! Transactions.

use core::{fmt, ops::Deref};

use super::{
    StoreError,
    connection::{Connection, Epoch},
    nodes::Nodes,
    turns::Turn,
    wire::{self, Kind},
};

/// The transaction that a request belongs to.
#[derive(Clone, Copy, Debug)]
pub(super) struct Within {
    number: u32,
    /// In which it has this number.
    epoch: Option<Epoch>,
}

impl Within {
    /// None.
    pub(super) const NONE: Self = Self { number: 0, epoch: None };

    /// The number by which the store knows it in this epoch; 0 is none. `None` if it was one of a
    /// connection that is over.
    pub(super) fn number(self, now: Epoch) -> Option<u32> {
        self.epoch.is_none_or(|epoch| epoch == now).then_some(self.number)
    }

    /// The transaction that the store has begun in this epoch, by its answer.
    pub(super) fn begun(payload: &[u8], epoch: Epoch) -> Option<Self> {
        let number = wire::text(payload)?.parse().ok();
        // Zero would be no transaction.
        let number = number.filter(|number| *number != 0)?;
        Some(Self { number, epoch: Some(epoch) })
    }
}

/// What can be done within a transaction; see [`Store::transaction`](super::Store::transaction).
/// Dropped without a commit, it is rolled back.
pub struct Transaction {
    nodes: Nodes,
    is_ending: bool,
    /// The next may begin when this one has ended.
    _turn: Turn,
}

impl Transaction {
    /// How often a transaction is tried, in all, before it is given up.
    pub const TRIES: u32 = 64;

    pub(super) async fn start(connection: &Connection) -> Result<Self, StoreError> {
        let turn = Turn::take(connection).await;
        let epoch = connection.epoch();
        let reply = connection.request(Kind::TransactionStart, Within::NONE, &[b"\0"])?.await?;
        let begun = Within::begun(&reply, epoch).ok_or(StoreError::Protocol)?;
        Ok(Self { nodes: Nodes::new(connection.clone(), begun), is_ending: false, _turn: turn })
    }

    pub(super) async fn commit(mut self) -> Result<(), StoreError> {
        let (connection, number) = (self.nodes.connection(), self.nodes.transaction());
        let request = connection.request(Kind::TransactionEnd, number, &[b"T\0"])?;
        self.is_ending = true;
        request.await?;
        Ok(())
    }
}

impl Deref for Transaction {
    type Target = Nodes;

    fn deref(&self) -> &Nodes {
        &self.nodes
    }
}

impl Drop for Transaction {
    fn drop(&mut self) {
        if !self.is_ending {
            let (connection, number) = (self.nodes.connection(), self.nodes.transaction());
            connection.post(Kind::TransactionEnd, number, &[b"F\0"]);
        }
    }
}

impl fmt::Debug for Transaction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Transaction").field(&self.nodes.transaction().number).finish()
    }
}
