//! What the handles of the store and the driver share: requests that are to be sent, those that wait
//! for a reply, and the watches.

use alloc::{collections::VecDeque, rc::Rc, string::ToString, vec::Vec};
use core::{
    cell::{RefCell, RefMut},
    mem,
    task::Waker,
};

use super::{
    StoreError,
    request::{Answer, Request},
    transaction::Within,
    turns::Turns,
    watch::Changes,
    wire::{self, Header, Kind},
};

/// Which of the connections with servers, one after the other, something belongs to: a server knows
/// nothing of those before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Epoch(u32);

/// The connection with XenStore.
#[derive(Clone)]
pub(super) struct Connection(Rc<RefCell<State>>);

struct State {
    /// Requests without a reply so far, in the order in which they are sent, which is that of the
    /// replies, as a rule.
    waiting: VecDeque<Waiting>,
    /// How many of them, at the end, are not sent in full.
    unsent: usize,
    watches: Vec<(u32, Rc<RefCell<Changes>>)>,
    epoch: Epoch,
    last_request: u32,
    last_watch: u32,
    turns: Turns,
    /// The task that moves the bytes.
    driver: Option<Waker>,
    /// Why the connection has ended.
    end: Option<StoreError>,
}

/// A request without a reply so far.
struct Waiting {
    request: u32,
    kind: Kind,
    is_in_transaction: bool,
    /// `None` if nobody wants to know.
    answer: Option<Rc<RefCell<Answer>>>,
    /// The message, which may have to be sent again through another connection.
    bytes: Vec<u8>,
    sent: usize,
}

impl State {
    /// Adds a request.
    fn enqueue(
        &mut self,
        kind: Kind,
        transaction: u32,
        parts: &[&[u8]],
        answer: Option<Rc<RefCell<Answer>>>,
    ) -> Result<u32, StoreError> {
        // Zero is what watch events have.
        let request = self.last_request.checked_add(1).unwrap_or(1);
        let bytes = wire::message(kind, request, transaction, parts)?;
        self.last_request = request;
        let is_in_transaction = transaction != 0;
        let waiting = Waiting { request, kind, is_in_transaction, answer, bytes, sent: 0 };
        self.waiting.push_back(waiting);
        self.unsent += 1;
        Ok(request)
    }

    /// The first request that is not sent in full, by its place.
    fn first_unsent(&self) -> usize {
        self.waiting.len() - self.unsent
    }

    /// The place of a request. Replies come to the first, as a rule.
    fn place(&self, request: u32) -> Option<usize> {
        self.waiting.iter().position(|waiting| waiting.request == request)
    }
}

impl Connection {
    pub(super) fn new() -> Self {
        Self(Rc::new(RefCell::new(State {
            waiting: VecDeque::new(),
            unsent: 0,
            watches: Vec::new(),
            epoch: Epoch(0),
            last_request: 0,
            last_watch: 0,
            turns: Turns::new(),
            driver: None,
            end: None,
        })))
    }

    /// Sends a request, whose payload is these parts.
    pub(super) fn request(
        &self,
        kind: Kind,
        transaction: Within,
        parts: &[&[u8]],
    ) -> Result<Request, StoreError> {
        let answer = Rc::default();
        let number = self.enqueue(kind, transaction, parts, Some(Rc::clone(&answer)))?;
        Ok(Request::new(self.clone(), kind, number, answer, self.epoch()))
    }

    /// Sends a request whose reply nobody waits for.
    pub(super) fn post(&self, kind: Kind, transaction: Within, parts: &[&[u8]]) {
        // It fails only if it is too long, which those are not, or when all is over, or the
        // transaction is.
        let _ = self.enqueue(kind, transaction, parts, None);
    }

    fn enqueue(
        &self,
        kind: Kind,
        transaction: Within,
        parts: &[&[u8]],
        answer: Option<Rc<RefCell<Answer>>>,
    ) -> Result<u32, StoreError> {
        let mut state = self.0.borrow_mut();
        if let Some(error) = state.end {
            return Err(error);
        }
        let transaction = transaction.number(state.epoch).ok_or(StoreError::Again)?;
        let request = state.enqueue(kind, transaction, parts, answer)?;
        let driver = state.driver.clone();
        drop(state);
        if let Some(driver) = driver {
            driver.wake();
        }
        Ok(request)
    }

    /// Nobody wants the reply to a request any more. If it is not on its way it is not sent.
    pub(super) fn abandon(&self, request: u32) {
        let mut state = self.0.borrow_mut();
        let first_unsent = state.first_unsent();
        let Some(place) = state.place(request) else { return };
        let Some(waiting) = state.waiting.get_mut(place) else { return };
        waiting.answer = None;
        if place < first_unsent || waiting.sent > 0 {
            return;
        }
        if waiting.kind == Kind::TransactionEnd {
            // The transaction must end in any case, only not be committed.
            waiting.bytes[wire::HEADER] = b'F';
        } else {
            state.waiting.remove(place);
            state.unsent -= 1;
        }
    }

    /// The one that goes on.
    pub(super) fn epoch(&self) -> Epoch {
        self.0.borrow().epoch
    }

    /// The connection is another one, to a server that knows nothing of the last: registers all
    /// watches again, each of which has something to tell then, and sends again what has no reply.
    /// What belongs to a transaction fails with [`StoreError::Again`].
    pub(super) fn resume(&self) {
        let mut state = self.0.borrow_mut();
        let (old, watches) = (mem::take(&mut state.waiting), state.watches.clone());
        state.unsent = 0;
        state.epoch = Epoch(state.epoch.0.wrapping_add(1));
        for (number, changes) in &watches {
            let parts = wire::watch(changes.borrow().path(), *number);
            // It is as long as it was the first time.
            let _ = state.enqueue(Kind::Watch, 0, &[&parts], None);
        }
        let mut answered = Vec::new();
        for waiting in old {
            match waiting.kind {
                // Registered above.
                Kind::Watch => answered.push((waiting.answer, Ok(Vec::new()))),
                // There is nothing to be ended any more.
                Kind::Unwatch => {}
                kind if kind == Kind::TransactionStart || waiting.is_in_transaction => {
                    answered.push((waiting.answer, Err(StoreError::Again.into())));
                }
                _ => {
                    state.waiting.push_back(Waiting { sent: 0, ..waiting });
                    state.unsent += 1;
                }
            }
        }
        let driver = state.driver.take();
        drop(state);
        driver.into_iter().for_each(Waker::wake);
        for (answer, reply) in answered {
            if let Some(answer) = answer {
                Answer::give(&answer, reply);
            }
        }
        for (_, changes) in watches {
            let path = changes.borrow().path().to_string();
            Changes::add(&changes, &path);
        }
    }

    /// The transactions.
    pub(super) fn turns(&self) -> RefMut<'_, Turns> {
        RefMut::map(self.0.borrow_mut(), |state| &mut state.turns)
    }

    /// Registers a watch for what becomes of `changes`. Returns its number, which is its token.
    pub(super) fn add_watch(&self, changes: Rc<RefCell<Changes>>) -> u32 {
        let mut state = self.0.borrow_mut();
        state.last_watch = state.last_watch.wrapping_add(1);
        let number = state.last_watch;
        state.watches.push((number, changes));
        number
    }

    /// Forgets a watch.
    pub(super) fn remove_watch(&self, number: u32) {
        let mut state = self.0.borrow_mut();
        if let Some(place) = state.watches.iter().position(|(other, _)| *other == number) {
            state.watches.swap_remove(place);
        }
    }

    /// Requests that have no reply, or were not sent in full, and watches.
    #[cfg(any(test, feature = "fake"))]
    pub(super) fn pending(&self) -> usize {
        let state = self.0.borrow();
        state.waiting.len() + state.watches.len()
    }

    /// Wakes this task when there is something to send.
    pub(super) fn wake(&self, driver: &Waker) {
        let old = &mut self.0.borrow_mut().driver;
        if !old.as_ref().is_some_and(|old| old.will_wake(driver)) {
            *old = Some(driver.clone());
        }
    }

    /// Shows what is to be sent to `write`, which returns how many bytes it took. Returns whether it
    /// took any.
    pub(super) fn send<E>(
        &self,
        mut write: impl FnMut(&[u8]) -> Result<usize, E>,
    ) -> Result<bool, E> {
        let state = &mut *self.0.borrow_mut();
        let first_unsent = state.first_unsent();
        let mut has_sent = false;
        for message in state.waiting.iter_mut().skip(first_unsent) {
            let rest = message.bytes.get(message.sent..).unwrap_or_default();
            let count = write(rest)?;
            has_sent |= count > 0;
            message.sent += count;
            if message.sent < message.bytes.len() {
                break;
            }
            state.unsent -= 1;
        }
        Ok(has_sent)
    }

    /// Whether a message that begins like this may come.
    pub(super) fn expects(&self, header: &Header) -> bool {
        let state = self.0.borrow();
        let is_reply_to = |waiting: &Waiting| {
            waiting.request == header.request
                && [waiting.kind as u32, wire::ERROR].contains(&header.kind)
        };
        let mut sent = state.waiting.iter().take(state.first_unsent());
        header.length as usize <= wire::PAYLOAD_MAX
            && (header.kind == wire::WATCH_EVENT || sent.any(is_reply_to))
    }

    /// Takes in a message that [`expects`](Self::expects) accepts.
    pub(super) fn receive(&self, header: &Header, payload: Vec<u8>) -> Result<(), StoreError> {
        if header.kind == wire::WATCH_EVENT {
            return self.changed(&payload);
        }
        let result = if header.kind == wire::ERROR {
            let name = wire::text(&payload).ok_or(StoreError::Protocol)?;
            Err(RequestError::of(name))
        } else {
            Ok(payload)
        };
        let waiting = {
            let mut state = self.0.borrow_mut();
            let place = state.place(header.request);
            place.and_then(|place| state.waiting.remove(place)).ok_or(StoreError::Protocol)?
        };
        match (waiting.answer, waiting.kind, result) {
            (Some(answer), _, result) => Answer::give(&answer, result),
            (None, Kind::TransactionStart, Ok(payload)) => {
                self.roll_back(&payload, self.epoch());
            }
            (None, Kind::Watch, Err(RequestError { error, .. })) => {
                log::error!("a watch of XenStore is lost: {error}");
            }
            (None, ..) => {}
        }
        Ok(())
    }

    /// Ends a transaction that nobody wants, by the reply that has its number.
    pub(super) fn roll_back(&self, payload: &[u8], epoch: Epoch) {
        if let Some(transaction) = Within::begun(payload, epoch) {
            self.post(Kind::TransactionEnd, transaction, &[b"F\0"]);
        }
    }

    /// A watch event: the path, and the token of the watch.
    fn changed(&self, payload: &[u8]) -> Result<(), StoreError> {
        let mut texts = wire::texts(payload).ok_or(StoreError::Protocol)?;
        let (Some(path), Some(token)) = (texts.next(), texts.next()) else {
            return Err(StoreError::Protocol);
        };
        let changes = token.parse().ok().and_then(|number: u32| {
            let state = self.0.borrow();
            state.watches.iter().find(|(other, _)| *other == number).map(|(_, c)| Rc::clone(c))
        });
        // A watch that is gone may have had an event on its way.
        if let Some(changes) = changes {
            Changes::add(&changes, path);
        }
        Ok(())
    }

    /// Ends the connection: everybody who waits, and who asks from now on, gets `error`.
    pub(super) fn fail(&self, error: StoreError) {
        let (waiting, watches) = {
            let mut state = self.0.borrow_mut();
            if state.end.is_some() {
                return;
            }
            state.end = Some(error);
            state.unsent = 0;
            (mem::take(&mut state.waiting), mem::take(&mut state.watches))
        };
        for answer in waiting.into_iter().filter_map(|waiting| waiting.answer) {
            Answer::give(&answer, Err(error.into()));
        }
        for (_, changes) in watches {
            Changes::end(&changes, error);
        }
    }
}

/// The error of a request, as far as this crate tells errors apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct RequestError {
    pub(super) error: StoreError,
    /// It is E2BIG, which may mean that the reply is too long.
    pub(super) is_too_big: bool,
}

impl RequestError {
    fn of(name: &str) -> Self {
        Self { error: StoreError::named(name.as_bytes()), is_too_big: name == "E2BIG" }
    }
}

impl From<StoreError> for RequestError {
    fn from(error: StoreError) -> Self {
        Self { error, is_too_big: false }
    }
}

impl From<RequestError> for StoreError {
    fn from(error: RequestError) -> Self {
        error.error
    }
}
