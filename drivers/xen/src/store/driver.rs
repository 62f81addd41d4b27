//! The task that moves bytes between the rings and the requests.
//!
//! The page of the store (xen/include/public/io/xs_wire.h):
//!
//! ```text
//!   0x000   req: 1024 bytes, what the guest asks     req_cons at 0x800, req_prod at 0x804
//!   0x400   rsp: 1024 bytes, what it is told         rsp_cons at 0x808, rsp_prod at 0x80c
//!   0x810   server_features: 1 if it can begin anew, 2 if it tells of errors
//!   0x814   connection: 1 while the server is not there, or not there yet, or begins anew
//!   0x818   error: what the server holds against the guest, or 0
//! ```
//!
//! When the other side has broken the protocol, and can begin anew, the guest asks for that: it sets
//! `connection`, and the server forgets all, empties the rings, and clears it.

use alloc::vec::Vec;
use core::{
    mem,
    pin::Pin,
    sync::atomic::{AtomicU32, Ordering},
    task::{Context, Poll},
};

use super::{
    StoreError,
    connection::{Connection, Epoch},
    wire::{HEADER, Header},
};
use crate::{
    byte_ring::{BadIndex, Consumer, Producer},
    shared_page::SharedPage,
};

/// Messages that are taken in before other tasks run.
const BATCH: usize = 64;
/// `server_features`: it can begin anew (`XENSTORE_SERVER_FEATURE_RECONNECTION`), and it tells of
/// errors (`XENSTORE_SERVER_FEATURE_ERROR`).
const CAN_RECONNECT: u32 = 1;
const TELLS_ERRORS: u32 = 2;
/// `connection`: the server is not there, or not there yet.
const RECONNECT: u32 = 1;
/// How often the guest asks the server to begin anew: one that breaks the protocol again and again is
/// given up.
const MOST_RECONNECTS: u32 = 8;

/// The event channel of the store.
pub(crate) trait Channel {
    /// Sends the other side an event.
    fn notify(&self);

    /// Wakes the task of `cx` at each event from now on.
    fn watch(&self, cx: &mut Context<'_>);
}

/// The driver of the store: a future that has to run for the store to work, and ends, with the
/// error, when the connection does.
pub(crate) struct Driver<C> {
    connection: Connection,
    channel: C,
    page: SharedPage,
    rings: Rings,
    /// How often the server was asked to begin anew, and whether it has not done so yet.
    reconnects: u32,
    is_reconnecting: bool,
}

/// The rings, which begin anew with the connection.
struct Rings {
    epoch: Epoch,
    requests: Producer<'static>,
    replies: Consumer<'static>,
    has_begun: bool,
    incoming: Incoming,
}

/// A message that has not arrived in full.
#[derive(Default)]
struct Incoming {
    header: [u8; HEADER],
    payload: Vec<u8>,
    /// Bytes of it that are there.
    got: usize,
}

impl From<BadIndex> for StoreError {
    fn from(_: BadIndex) -> Self {
        Self::Protocol
    }
}

impl Rings {
    fn new(page: SharedPage, epoch: Epoch) -> Self {
        let bytes = page.bytes();
        Self {
            epoch,
            requests: Producer::new(&bytes[..0x400], page.word(0x800), page.word(0x804)),
            replies: Consumer::new(&bytes[0x400..0x800], page.word(0x808), page.word(0x80c)),
            has_begun: false,
            incoming: Incoming::default(),
        }
    }
}

impl<C: Channel> Driver<C> {
    pub(super) fn new(connection: Connection, page: SharedPage, channel: C) -> Self {
        let rings = Rings::new(page, connection.epoch());
        Self { connection, channel, page, rings, reconnects: 0, is_reconnecting: false }
    }

    /// Moves what can be moved. Returns whether there may be more.
    fn work(&mut self) -> Result<bool, StoreError> {
        if self.connection_state().load(Ordering::Acquire) == RECONNECT {
            return Ok(false);
        }
        let is_anew = mem::take(&mut self.is_reconnecting);
        if is_anew {
            self.connection.resume();
        }
        let epoch = self.connection.epoch();
        if self.rings.epoch != epoch {
            self.rings = Rings::new(self.page, epoch);
            // Then the server has emptied them.
            self.rings.has_begun = is_anew;
        }
        if self.features() & TELLS_ERRORS != 0 && self.page.word(0x818).load(Ordering::Acquire) != 0
        {
            return Err(StoreError::Protocol);
        }
        let rings = &mut self.rings;
        if !rings.has_begun {
            // What a boot loader was told before.
            rings.replies.skip()?;
            rings.has_begun = true;
        }
        let has_sent = self.connection.send(|bytes| rings.requests.write(bytes));
        let received = rings.receive(&self.connection);
        if has_sent? || received? > 0 {
            self.channel.notify();
        }
        Ok(received? >= BATCH)
    }

    /// Asks the server to begin anew. Returns false if it cannot, or was asked too often.
    fn reconnect(&mut self) -> bool {
        if self.features() & CAN_RECONNECT == 0 || self.reconnects == MOST_RECONNECTS {
            return false;
        }
        log::warn!("XenStore does not keep to its protocol; it is asked to begin anew");
        self.reconnects += 1;
        self.is_reconnecting = true;
        self.connection_state().store(RECONNECT, Ordering::Release);
        self.channel.notify();
        true
    }

    fn features(&self) -> u32 {
        self.page.word(0x810).load(Ordering::Relaxed)
    }

    fn connection_state(&self) -> &'static AtomicU32 {
        self.page.word(0x814)
    }
}

impl Rings {
    /// Takes in what has arrived. Returns how many pieces that was.
    fn receive(&mut self, connection: &Connection) -> Result<usize, StoreError> {
        let mut pieces = 0;
        while pieces < BATCH && self.incoming.read(&mut self.replies, connection)? {
            pieces += 1;
        }
        Ok(pieces)
    }
}

impl Incoming {
    /// Reads the rest of the header, or of the payload, as far as it is there, and hands on a message
    /// that is complete. Returns whether there was anything.
    fn read(
        &mut self,
        replies: &mut Consumer<'static>,
        connection: &Connection,
    ) -> Result<bool, StoreError> {
        let before = self.got;
        if let Some(rest) = self.header.get_mut(self.got..).filter(|rest| !rest.is_empty()) {
            self.got += replies.read(rest)?;
            if self.got < HEADER {
                return Ok(self.got > before);
            }
            let header = Header::from_bytes(self.header);
            if !connection.expects(&header) {
                return Err(StoreError::Protocol);
            }
            self.payload.resize(header.length as usize, 0);
        }
        let rest = self.payload.get_mut(self.got - HEADER..).unwrap_or_default();
        self.got += replies.read(rest)?;
        let is_new = self.got > before;
        if self.got == HEADER + self.payload.len() {
            self.got = 0;
            connection.receive(&Header::from_bytes(self.header), mem::take(&mut self.payload))?;
        }
        Ok(is_new)
    }
}

impl<C: Channel + Unpin> Future for Driver<C> {
    type Output = StoreError;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<StoreError> {
        self.connection.wake(cx.waker());
        self.channel.watch(cx);
        match self.work() {
            Ok(true) => cx.waker().wake_by_ref(),
            Ok(false) => {}
            Err(_) if self.reconnect() => {}
            Err(error) => {
                self.connection.fail(error);
                return Poll::Ready(error);
            }
        }
        Poll::Pending
    }
}

impl<C> Drop for Driver<C> {
    fn drop(&mut self) {
        self.connection.fail(StoreError::Disconnected);
    }
}
