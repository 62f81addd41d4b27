//! The indices of a ring, in every order in which two processors may do and see things.
//!
//! The ring has two entries. The front end asks for more than that, and waits for an event when there
//! is nothing to do; the back end does what ring.h has it do. A lost event is a thread that waits for
//! ever, which the model checker finds.

extern crate std;

use std::vec::Vec;

use loom::{
    sync::{
        Arc, Notify,
        atomic::{AtomicU32, Ordering, fence},
    },
    thread,
};

use super::*;
use crate::shared_word::shared_word;

// The same code as elsewhere, with an atomic type that the model checker watches.
shared_word!(AtomicU32, fence);

/// So long that a page has two entries.
const WORDS: usize = 504;
const SIZE: u32 = 2;
const REQUESTS_IN_ALL: u32 = 3;

/// A page, of whose words only those exist that are used: four indices, and one of each entry.
struct Page {
    indices: [AtomicU32; 4],
    entries: [AtomicU32; SIZE as usize],
}

impl RingPages for Arc<Page> {
    type Word = AtomicU32;

    fn words(&self) -> &[AtomicU32] {
        &self.indices
    }

    fn entry(&self, start: usize, _: usize) -> impl Iterator<Item = &AtomicU32> {
        self.entries.get((start - ENTRIES / 4) / WORDS).into_iter()
    }
}

struct Shared {
    page: Arc<Page>,
    to_front: Notify,
    to_back: Notify,
}

impl Shared {
    fn word(&self, offset: usize) -> &AtomicU32 {
        self.page.word(offset)
    }

    /// Asks for everything, as far as there is room, and takes the answers.
    fn front(&self, mut ring: FrontRing<Arc<Page>, WORDS>) {
        let (mut asked, mut answers) = (0, Vec::new());
        while answers.len() < REQUESTS_IN_ALL as usize {
            while asked < REQUESTS_IN_ALL && ring.push(&[asked]) {
                asked += 1;
            }
            if ring.publish() {
                self.to_back.notify();
            }
            while let Ok(Some([answer])) = ring.pop() {
                answers.push(answer);
            }
            if ring.outstanding() > 0 && !ring.wants_event_after(1) {
                self.to_front.wait();
            }
        }
        assert!(answers.into_iter().eq((0..REQUESTS_IN_ALL).map(|number| number + 100)));
    }

    /// Answers each request (`RING_FINAL_CHECK_FOR_REQUESTS`, `RING_PUSH_RESPONSES_AND_CHECK_NOTIFY`).
    fn back(&self) {
        let mut next = 0;
        while next < REQUESTS_IN_ALL {
            if self.word(REQUESTS).load(Ordering::Acquire) == next {
                self.word(REQUEST_EVENT).store(next + 1, Ordering::Relaxed);
                fence(Ordering::SeqCst);
                if self.word(REQUESTS).load(Ordering::Relaxed) == next {
                    self.to_back.wait();
                }
                continue;
            }
            let entry = &self.page.entries[(next % SIZE) as usize];
            entry.store(entry.load(Ordering::Relaxed) + 100, Ordering::Relaxed);
            next += 1;
            self.word(RESPONSES).store(next, Ordering::Release);
            fence(Ordering::SeqCst);
            if self.word(RESPONSE_EVENT).load(Ordering::Relaxed) == next {
                self.to_front.notify();
            }
        }
    }
}

#[test]
fn no_event_is_lost_in_any_order() {
    let mut model = loom::model::Builder::new();
    // Of all orders, those in which each side is interrupted so many times.
    model.preemption_bound = Some(3);
    model.check(|| {
        let word = || AtomicU32::new(0);
        let page = Page { indices: [word(), word(), word(), word()], entries: [word(), word()] };
        let page = Arc::new(page);
        let ring = FrontRing::new(Arc::clone(&page));
        let shared = Arc::new(Shared { page, to_front: Notify::new(), to_back: Notify::new() });
        let other = Arc::clone(&shared);
        let back = thread::spawn(move || other.back());
        shared.front(ring);
        back.join().unwrap();
    });
}
