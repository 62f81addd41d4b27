//! Tasks that wait for their turn, in the order in which they came.

use alloc::collections::VecDeque;
use core::{
    mem,
    task::{Poll, Waker},
};

/// An empty queue with more room than this gives its memory back.
const KEPT_ROOM: usize = 16;

/// A place in the queue. Given back by `poll` or `leave`.
#[derive(Debug)]
pub(super) struct Ticket(u64);

enum Waiter {
    Waiting(Waker),
    /// It is its turn, but it has not been polled since.
    Called(Turn),
    Gone,
}

/// Whose turn it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Turn {
    /// That of one waiter: if it leaves, another one has it.
    One,
    /// That of all who waited.
    All,
}

/// Waiting tasks.
pub(super) struct WaitQueue {
    /// Number of the first waiter in the queue; tickets are numbered on from there.
    first: u64,
    /// All waiters before this one have been called or are gone.
    next_to_call: u64,
    waiters: VecDeque<Waiter>,
}

impl WaitQueue {
    pub(super) const fn new() -> Self {
        Self { first: 0, next_to_call: 0, waiters: VecDeque::new() }
    }

    /// Whether it is the turn of the ticket's owner; then the ticket is taken. Otherwise `waker` is
    /// woken when it is. Without a ticket, queues up and fills it in.
    pub(super) fn poll(&mut self, ticket: &mut Option<Ticket>, waker: &Waker) -> Poll<()> {
        let Some(Ticket(number)) = *ticket else {
            *ticket = Some(Ticket(self.first + self.waiters.len() as u64));
            self.waiters.push_back(Waiter::Waiting(waker.clone()));
            return Poll::Pending;
        };
        match self.waiter(number) {
            Some(Waiter::Waiting(old)) => {
                if !old.will_wake(waker) {
                    *old = waker.clone();
                }
                return Poll::Pending;
            }
            Some(called) => *called = Waiter::Gone,
            None => {}
        }
        *ticket = None;
        self.tidy();
        Poll::Ready(())
    }

    /// Calls the first waiter, whose turn it is or that of all, and returns whom to wake.
    pub(super) fn call(&mut self, turn: Turn) -> Option<Waker> {
        loop {
            let waiter = self.waiter(self.next_to_call)?;
            let waiter = match waiter {
                Waiter::Waiting(_) => mem::replace(waiter, Waiter::Called(turn)),
                Waiter::Called(_) | Waiter::Gone => Waiter::Gone,
            };
            self.next_to_call += 1;
            if let Waiter::Waiting(waker) = waiter {
                return Some(waker);
            }
        }
    }

    /// How many places the queue has: at least as many as wait.
    pub(super) fn len(&self) -> usize {
        self.waiters.len()
    }

    /// Leaves the queue. Returns whether it was the turn of this waiter alone, which somebody else
    /// should get then.
    pub(super) fn leave(&mut self, ticket: Ticket) -> bool {
        let left = self.waiter(ticket.0).map(|waiter| mem::replace(waiter, Waiter::Gone));
        self.tidy();
        matches!(left, Some(Waiter::Called(Turn::One)))
    }

    fn waiter(&mut self, number: u64) -> Option<&mut Waiter> {
        self.waiters.get_mut(usize::try_from(number.checked_sub(self.first)?).ok()?)
    }

    /// Forgets those at the head of the queue who are gone.
    fn tidy(&mut self) {
        while let Some(Waiter::Gone) = self.waiters.front() {
            self.waiters.pop_front();
            self.first += 1;
        }
        self.next_to_call = self.next_to_call.max(self.first);
        if self.waiters.is_empty() && self.waiters.capacity() > KEPT_ROOM {
            self.waiters = VecDeque::new();
        }
    }
}
