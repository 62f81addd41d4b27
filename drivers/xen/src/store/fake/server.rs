//! The server: reads requests, does what they ask, and replies.

extern crate std;

use core::sync::atomic::Ordering;
use std::{
    collections::{BTreeMap, VecDeque},
    format,
    string::{String, ToString},
    vec::Vec,
};

use super::tree::{Errno, HOME, Tree, concerns};
use crate::{
    byte_ring::{Consumer, Producer},
    shared_page::SharedPage,
    store::{
        Permissions,
        wire::{self, HEADER, Header},
    },
};

/// What the server does wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::store) enum Mischief {
    None,
    /// It does not answer.
    Silent,
    /// It answers requests that are not there.
    UnknownRequest,
    /// It answers with another type than what it was asked.
    OtherType,
    /// It says that its replies are longer than they may be.
    TooLong,
    /// Its errors have no end.
    EndlessError,
    /// It sends events that are none.
    BadEvent,
    /// It answers, but what it answers are bytes without meaning.
    Nonsense,
}

impl Mischief {
    /// What ends the connection.
    pub(in crate::store) const ENDING: [Self; 5] =
        [Self::UnknownRequest, Self::OtherType, Self::TooLong, Self::EndlessError, Self::BadEvent];
}

struct Watched {
    /// As the guest has it.
    path: String,
    token: String,
}

/// A tree as a transaction sees it.
struct Transaction {
    tree: Tree,
    version: u64,
    changed: Vec<(String, bool)>,
}

pub(in crate::store) struct Server {
    requests: Consumer<'static>,
    replies: Producer<'static>,
    input: Vec<u8>,
    output: VecDeque<u8>,
    /// What watches tell when they are registered.
    first_events: VecDeque<u8>,
    pub(in crate::store) tree: Tree,
    version: u64,
    watches: Vec<Watched>,
    transactions: BTreeMap<u32, Transaction>,
    last_transaction: u32,
    pub(in crate::store) mischief: Mischief,
    /// It does so after it has begun anew, too.
    pub(in crate::store) is_incorrigible: bool,
    /// How often it has begun anew.
    pub(in crate::store) begun: u32,
    /// Bytes that it moves at a time.
    pub(in crate::store) step: usize,
    /// It answers what it is asked at the same time from behind.
    pub(in crate::store) is_reversed: bool,
    /// How many commits come too late.
    pub(in crate::store) conflicts: u32,
    /// How often directories change while they are read.
    pub(in crate::store) restless: u32,
    /// Whether it has `DIRECTORY_PART`.
    pub(in crate::store) knows_parts: bool,
    pub(in crate::store) watch_quota: usize,
    is_busy: bool,
    /// Requests so far.
    pub(in crate::store) served: usize,
}

impl Server {
    pub(in crate::store) fn new(page: SharedPage) -> Self {
        let bytes = page.bytes();
        Self {
            requests: Consumer::new(&bytes[..0x400], page.word(0x800), page.word(0x804)),
            replies: Producer::new(&bytes[0x400..0x800], page.word(0x808), page.word(0x80c)),
            input: Vec::new(),
            output: VecDeque::new(),
            first_events: VecDeque::new(),
            tree: Tree::new(),
            version: 0,
            watches: Vec::new(),
            transactions: BTreeMap::new(),
            last_transaction: 0,
            mischief: Mischief::None,
            is_incorrigible: false,
            begun: 0,
            step: usize::MAX,
            is_reversed: false,
            conflicts: 0,
            restless: 0,
            knows_parts: true,
            watch_quota: 100,
            is_busy: false,
            served: 0,
        }
    }

    /// It serves another domain of the guest: the rings are empty, and nobody has asked anything.
    pub(super) fn restart(&mut self, page: SharedPage) {
        for offset in [0x800, 0x804, 0x808, 0x80c] {
            page.word(offset).store(0, Ordering::Relaxed);
        }
        let Self { requests, replies, .. } = Self::new(page);
        (self.requests, self.replies) = (requests, replies);
        self.input.clear();
        self.output.clear();
        self.watches.clear();
        self.transactions.clear();
        self.last_transaction = 0;
        self.is_busy = false;
    }

    /// Begins anew, if it offers that and the guest asks for it. It may be better then. Returns whether
    /// it did.
    pub(super) fn begins_anew(&mut self, page: SharedPage) -> bool {
        let is_set = |offset| page.word(offset).load(Ordering::Relaxed) & 1 != 0;
        let begins = is_set(0x810) && is_set(0x814);
        if begins {
            self.restart(page);
            self.begun += 1;
            if !self.is_incorrigible {
                self.mischief = Mischief::None;
            }
            page.word(0x818).store(0, Ordering::Relaxed);
            page.word(0x814).store(0, Ordering::Relaxed);
        }
        begins
    }

    pub(in crate::store) fn watches(&self) -> usize {
        self.watches.len()
    }

    pub(in crate::store) fn transactions(&self) -> usize {
        self.transactions.len()
    }

    /// Whether it goes on without being told: it has not looked at all there is.
    pub(super) fn is_busy(&self) -> bool {
        self.is_busy && self.mischief != Mischief::Silent
    }

    /// Takes requests and gives replies, as far as there is room. Returns whether it did anything.
    pub(super) fn serve(&mut self) -> bool {
        if self.mischief == Mischief::Silent {
            // It looks when it is back.
            self.is_busy = true;
            return false;
        }
        let mut bytes = [0; 1024];
        let limit = self.step.min(bytes.len());
        let read = self.requests.read(&mut bytes[..limit]).unwrap();
        self.input.extend_from_slice(&bytes[..read]);
        let mut replies = Vec::new();
        while let Some((header, payload)) = self.next_request() {
            self.served += 1;
            let reply = self.reply(&header, &payload);
            if self.is_reversed {
                replies.push(reply);
            } else {
                self.output.extend(reply);
            }
            self.output.append(&mut self.first_events);
        }
        self.output.extend(replies.into_iter().rev().flatten());
        let limit = self.step.min(self.output.len());
        let written = self.replies.write(&self.output.make_contiguous()[..limit]).unwrap();
        self.output.drain(..written);
        // When the ring is full, it waits for the guest to tell that it has made room.
        self.is_busy = read > 0 || (written > 0 && written == limit && !self.output.is_empty());
        read + written > 0
    }

    fn next_request(&mut self) -> Option<(Header, Vec<u8>)> {
        let header = Header::from_bytes(self.input.get(..HEADER)?.try_into().unwrap());
        assert!(header.length as usize <= wire::PAYLOAD_MAX);
        let end = HEADER + header.length as usize;
        let payload = self.input.get(HEADER..end)?.to_vec();
        self.input.drain(..end);
        Some((header, payload))
    }

    fn reply(&mut self, request: &Header, payload: &[u8]) -> Vec<u8> {
        let mut reply = *request;
        let payload = match self.handle(request, payload) {
            Ok(payload) => payload,
            Err(name) => {
                reply.kind = wire::ERROR;
                [name.as_bytes(), b"\0"].concat()
            }
        };
        self.send(reply, payload)
    }

    /// The bytes of a message, after the mischief.
    fn send(&self, mut header: Header, mut payload: Vec<u8>) -> Vec<u8> {
        header.length = payload.len() as u32;
        match self.mischief {
            Mischief::None | Mischief::Silent => {}
            Mischief::UnknownRequest => header.request += 1000,
            Mischief::OtherType => header.kind += 1,
            Mischief::TooLong => header.length = 4097,
            Mischief::EndlessError => {
                (header.kind, header.length) = (wire::ERROR, 3);
                payload = b"EIO".to_vec();
            }
            Mischief::BadEvent => {
                (header.kind, header.length) = (wire::WATCH_EVENT, 2);
                payload = b"x\0".to_vec();
            }
            Mischief::Nonsense => payload.fill(0xff),
        }
        [&header.to_bytes(), &*payload].concat()
    }

    fn handle(&mut self, request: &Header, payload: &[u8]) -> Result<Vec<u8>, Errno> {
        let ok = b"OK\0".to_vec();
        let end = payload.iter().position(|byte| *byte == 0).ok_or("EINVAL")?;
        let (first, rest) = (&payload[..end], &payload[end + 1..]);
        let first = core::str::from_utf8(first).map_err(|_| "EINVAL")?;
        let path = absolute(first);
        match request.kind {
            4 => return self.watch(first, rest),
            5 => return self.unwatch(first, rest),
            6 => return self.start_transaction(),
            7 => return self.end_transaction(request.transaction, first),
            10 => return Ok(format!("/local/domain/{first}\0").into_bytes()),
            _ => {}
        }
        let tree = match self.transactions.get_mut(&request.transaction) {
            Some(transaction) => &mut transaction.tree,
            None if request.transaction != 0 => return Err("ENOENT"),
            None => &mut self.tree,
        };
        let is_change = match request.kind {
            1 => return Some(tree.list(&path)?).filter(|list| list.len() <= 4096).ok_or("E2BIG"),
            2 => return Ok(tree.read(&path)?.value.clone()),
            3 => return Ok(tree.get(&path)?.permissions.to_wire().into_bytes()),
            11 => {
                tree.make(&path)?;
                tree.get_mut(&path)?.value = rest.to_vec();
                true
            }
            12 => tree.make(&path).map(|()| true)?,
            13 => tree.remove(&path)?,
            14 => {
                let texts = wire::texts(rest).ok_or("EINVAL")?;
                let permissions = Permissions::from_wire(texts).ok_or("EINVAL")?;
                tree.get_mut(&path)?.permissions = permissions;
                true
            }
            22 if self.knows_parts => {
                let list = tree.list(&path)?;
                return self.list_part(&list, rest);
            }
            _ => return Err("ENOSYS"),
        };
        if is_change {
            let change = (path, request.kind == 13);
            match self.transactions.get_mut(&request.transaction) {
                Some(transaction) => transaction.changed.push(change),
                None => self.announce(&[change]),
            }
        }
        Ok(ok)
    }

    fn list_part(&mut self, list: &[u8], offset: &[u8]) -> Result<Vec<u8>, Errno> {
        let offset: usize =
            wire::text(offset).and_then(|text| text.parse().ok()).ok_or("EINVAL")?;
        let mut reply = format!("{}\0", self.version).into_bytes();
        if self.restless > 0 {
            self.restless -= 1;
            self.version += 1;
        }
        let rest = list.get(offset..).ok_or("EINVAL")?;
        let mut end = rest.len().min(4096 - reply.len() - 1);
        end = rest[..end].iter().rposition(|byte| *byte == 0).map_or(0, |last| last + 1);
        reply.extend_from_slice(&rest[..end]);
        if end == rest.len() {
            reply.push(0);
        }
        Ok(reply)
    }

    fn watch(&mut self, path: &str, rest: &[u8]) -> Result<Vec<u8>, Errno> {
        let token = wire::text(rest).ok_or("EINVAL")?.to_string();
        if self.watches.iter().any(|other| other.path == path && other.token == token) {
            return Err("EEXIST");
        }
        if self.watches.len() >= self.watch_quota {
            return Err("E2BIG");
        }
        // Xen's daemons answer before they tell.
        self.first_events.extend(event(path, &token));
        self.watches.push(Watched { path: path.to_string(), token });
        Ok(b"OK\0".to_vec())
    }

    fn unwatch(&mut self, path: &str, rest: &[u8]) -> Result<Vec<u8>, Errno> {
        let token = wire::text(rest).ok_or("EINVAL")?;
        let place =
            self.watches.iter().position(|other| other.path == path && other.token == token);
        self.watches.remove(place.ok_or("ENOENT")?);
        Ok(b"OK\0".to_vec())
    }

    fn start_transaction(&mut self) -> Result<Vec<u8>, Errno> {
        if self.transactions.len() >= 10 {
            return Err("ENOSPC");
        }
        self.last_transaction += 1;
        let transaction =
            Transaction { tree: self.tree.clone(), version: self.version, changed: Vec::new() };
        self.transactions.insert(self.last_transaction, transaction);
        Ok(format!("{}\0", self.last_transaction).into_bytes())
    }

    fn end_transaction(&mut self, number: u32, how: &str) -> Result<Vec<u8>, Errno> {
        let transaction = self.transactions.remove(&number).ok_or("ENOENT")?;
        if how == "T" {
            if self.conflicts > 0 {
                self.conflicts -= 1;
                return Err("EAGAIN");
            }
            if transaction.version != self.version {
                return Err("EAGAIN");
            }
            self.tree = transaction.tree;
            self.announce(&transaction.changed);
        }
        Ok(b"OK\0".to_vec())
    }

    /// Tells who watches.
    pub(in crate::store) fn announce(&mut self, changed: &[(String, bool)]) {
        self.is_busy = true;
        for (path, is_removed) in changed {
            self.version += 1;
            let watches = self.watches.iter();
            for watch in watches.filter(|w| concerns(&absolute(&w.path), path, *is_removed)) {
                let inside = path.strip_prefix(&absolute(&watch.path)).unwrap_or_default();
                self.output.extend(event(&format!("{}{inside}", watch.path), &watch.token));
            }
        }
    }
}

fn absolute(path: &str) -> String {
    if path.starts_with(['/', '@']) { path.to_string() } else { format!("{HOME}/{path}") }
}

fn event(path: &str, token: &str) -> Vec<u8> {
    let payload = format!("{path}\0{token}\0");
    let length = payload.len() as u32;
    let header = Header { kind: wire::WATCH_EVENT, request: 0, transaction: 0, length };
    [&header.to_bytes(), payload.as_bytes()].concat()
}
