//! An event, from Xen to its handler, in every order in which two processors may do and see things.
//!
//! There are two channels, whose bits are in two words. Xen changes a value and raises its channel,
//! one after the other; the guest lets the channels' events through at some time, and the handlers
//! look at the values. An event that is lost leaves a thread that waits for an interrupt for ever,
//! which the model checker finds.

extern crate std;

use loom::{
    sync::{
        Arc, Notify,
        atomic::{AtomicU32, Ordering},
    },
    thread,
};

use super::levels::{UPCALL_PENDING, acknowledge, hold_back, let_through, select, take};

const BIT: u32 = 1 << 3;
/// What is done: the first channel's value is changed, the other one's, and so on.
const EVENTS: [usize; 3] = [0, 1, 0];
const LAST: [u32; 2] = [3, 2];

/// The words of a channel, and what it is about.
struct Channel {
    pending: AtomicU32,
    mask: AtomicU32,
    value: AtomicU32,
}

struct Page {
    first: AtomicU32,
    selector: AtomicU32,
    channels: [Channel; 2],
    interrupt: Notify,
}

impl Page {
    fn new() -> Self {
        let word = || AtomicU32::new(0);
        let channel = || Channel { pending: word(), mask: word(), value: word() };
        let channels = [channel(), channel()];
        channels.iter().for_each(|channel| hold_back(&channel.mask, BIT));
        Self { first: word(), selector: word(), channels, interrupt: Notify::new() }
    }

    /// As Xen does it (`evtchn_2l_set_pending` in xen/common/event_2l.c).
    fn raise(&self, number: usize) {
        let channel = &self.channels[number];
        let is_new = channel.pending.fetch_or(BIT, Ordering::SeqCst) & BIT == 0
            && channel.mask.load(Ordering::SeqCst) & BIT == 0
            && self.selector.fetch_or(1 << number, Ordering::SeqCst) & 1 << number == 0
            && self.first.fetch_or(1, Ordering::SeqCst) & UPCALL_PENDING == 0;
        if is_new {
            self.interrupt.notify();
        }
    }

    fn xen(&self) {
        for (value, number) in (1..).zip(EVENTS) {
            self.channels[number].value.store(value, Ordering::Relaxed);
            self.raise(number);
        }
    }

    fn guest(&self) {
        let mut seen = [0; 2];
        for (seen, channel) in seen.iter_mut().zip(&self.channels) {
            let_through(&channel.pending, &channel.mask, BIT);
            *seen = channel.value.load(Ordering::Relaxed);
        }
        while seen != LAST {
            self.interrupt.wait();
            acknowledge(&self.first);
            let selected = select(&self.selector);
            for (number, channel) in self.channels.iter().enumerate() {
                if selected & 1 << number != 0 && take(&channel.pending, &channel.mask) & BIT != 0 {
                    seen[number] = channel.value.load(Ordering::Relaxed);
                }
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
        let page = Arc::new(Page::new());
        let other = Arc::clone(&page);
        let xen = thread::spawn(move || other.xen());
        page.guest();
        xen.join().unwrap();
    });
}
