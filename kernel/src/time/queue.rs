//! Timers in the order of their deadlines.
//!
//! A heap holds the deadlines. A timer that is cancelled leaves its deadline in the heap, marked by
//! the timer not knowing it any more; such deadlines go when they come to the top, or all together
//! when they are more than half of the heap. So a timeout that is set and cancelled, as most are,
//! costs a few steps whatever the number of timers, and yet the earliest deadline is always that of
//! a timer that is set.
//!
//! A timer that is put off, as that of a watchdog is all the time, stays where it is in the heap. It
//! comes up early once, and finds its place then.

use alloc::collections::BinaryHeap;
use core::{cmp::Reverse, mem, task::Waker};

use crate::{executor::slab::Slab, memory};

/// That many deadlines of cancelled timers are not worth the work of removing them.
const FEW: usize = 32;

/// The number of a timer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct TimerId(u32);

/// A deadline, and a number: timers with the same deadline fire in the order in which they were set.
type Moment = (u64, u32);

#[derive(Default)]
struct Timer {
    waker: Option<Waker>,
    /// When it is due.
    wanted: Moment,
    /// When the heap has it, which may be earlier.
    queued: Moment,
    /// Whether it is set and has not fired.
    is_set: bool,
}

impl Timer {
    fn take_due(&mut self, timer: u32) -> Option<Due> {
        mem::take(&mut self.is_set).then_some(Due { moment: self.queued, timer })
    }

    fn has(&self, due: &Due) -> bool {
        self.is_set && self.queued == due.moment
    }
}

/// An entry of the heap.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Due {
    moment: Moment,
    timer: u32,
}

/// All timers of the executor.
pub(super) struct TimerQueue {
    /// The first one belongs to a timer that is set.
    heap: BinaryHeap<Reverse<Due>>,
    timers: Slab<Timer>,
    sequence: u32,
    /// How many deadlines in the heap belong to no timer.
    stale: usize,
}

impl TimerQueue {
    pub(super) const fn new() -> Self {
        Self { heap: BinaryHeap::new(), timers: Slab::new(), sequence: 0, stale: 0 }
    }

    /// The earliest deadline, or an earlier one that was put off.
    pub(super) fn earliest(&self) -> Option<u64> {
        self.heap.peek().map(|first| first.0.moment.0)
    }

    /// Sets a new timer that wakes `waker` at `deadline`. `None` if there is no memory for it.
    pub(super) fn insert(&mut self, deadline: u64, waker: &Waker) -> Option<TimerId> {
        self.heap.try_reserve(1).ok()?;
        let timer = self.timers.insert("a timer").ok()?;
        let moment = self.moment(deadline);
        self.set(timer, moment).waker = Some(waker.clone());
        Some(TimerId(timer))
    }

    fn moment(&mut self, deadline: u64) -> Moment {
        self.sequence = self.sequence.wrapping_add(1);
        (deadline, self.sequence)
    }

    /// Puts a deadline in the heap, which has room for it.
    fn set(&mut self, timer: u32, moment: Moment) -> &mut Timer {
        self.heap.push(Reverse(Due { moment, timer }));
        let timer = self.timers.get_mut(timer);
        (timer.wanted, timer.queued, timer.is_set) = (moment, moment, true);
        timer
    }

    /// Whether the timer has fired. If not, `waker` is the one that it wakes.
    pub(super) fn poll(&mut self, id: TimerId, waker: &Waker) -> bool {
        let timer = self.timers.get_mut(id.0);
        if !timer.is_set {
            return true;
        }
        if !timer.waker.as_ref().is_some_and(|old| old.will_wake(waker)) {
            timer.waker = Some(waker.clone());
        }
        false
    }

    /// Changes the deadline of a timer, whether or not it has fired. Returns false if there is no
    /// memory for that, and then the timer is as it was.
    pub(super) fn reset(&mut self, id: TimerId, deadline: u64) -> bool {
        let moment = self.moment(deadline);
        let timer = self.timers.get_mut(id.0);
        if timer.is_set && timer.queued <= moment {
            timer.wanted = moment;
            return true;
        }
        if self.heap.try_reserve(1).is_err() {
            return false;
        }
        let was_due = timer.take_due(id.0);
        self.set(id.0, moment);
        if let Some(due) = was_due {
            self.forget(due);
        }
        true
    }

    /// Removes a timer, and returns its waker to be dropped.
    pub(super) fn remove(&mut self, id: TimerId) -> Option<Waker> {
        let timer = self.timers.get_mut(id.0);
        let (was_due, waker) = (timer.take_due(id.0), timer.waker.take());
        self.timers.remove(id.0);
        if let Some(due) = was_due {
            self.forget(due);
        }
        waker
    }

    /// Lets the earliest timer fire if its deadline has passed, and returns whom it wakes.
    pub(super) fn pop_due(&mut self, now: u64) -> Option<Waker> {
        while let Some(&Reverse(first)) = self.heap.peek().filter(|first| first.0.moment.0 <= now) {
            let timer = self.timers.get_mut(first.timer);
            let put_off = Some(timer.wanted).filter(|wanted| *wanted != timer.queued);
            timer.is_set = false;
            let waker = if put_off.is_none() { timer.waker.take() } else { None };
            self.heap.pop();
            if let Some(moment) = put_off {
                self.set(first.timer, moment);
            }
            self.tidy();
            if waker.is_some() {
                return waker;
            }
        }
        None
    }

    /// Notes that a deadline in the heap belongs to no timer any more.
    fn forget(&mut self, due: Due) {
        self.stale += 1;
        if self.heap.peek() == Some(&Reverse(due)) || self.is_mostly_stale() {
            self.tidy();
        }
    }

    fn is_mostly_stale(&self) -> bool {
        self.stale > FEW && self.stale > self.heap.len() / 2
    }

    fn is_stale(timers: &Slab<Timer>, due: &Due) -> bool {
        timers.try_get(due.timer).is_none_or(|timer| !timer.has(due))
    }

    /// Takes deadlines that belong to no timer from the top of the heap, or all of them if they are
    /// many.
    fn tidy(&mut self) {
        while self.stale > 0 {
            let Some(Reverse(first)) = self.heap.peek() else { break };
            if !Self::is_stale(&self.timers, first) {
                break;
            }
            self.heap.pop();
            self.stale -= 1;
        }
        if self.is_mostly_stale() {
            let timers = &self.timers;
            self.heap.retain(|Reverse(due)| !Self::is_stale(timers, due));
            self.stale = 0;
        }
        let room = self.heap.capacity();
        if room > 4 * FEW && self.heap.len() < room / 4 {
            self.shrink(room / 2);
        }
    }

    /// Gives back what the heap has beyond room for `count` deadlines.
    #[cold]
    #[inline(never)]
    fn shrink(&mut self, count: usize) {
        let mut moments = mem::take(&mut self.heap).into_vec();
        memory::shrink(&mut moments, count);
        self.heap = moments.into();
    }
}

#[cfg(test)]
mod tests {
    use std::{
        collections::BTreeSet,
        sync::{
            Arc,
            atomic::{AtomicUsize, Ordering},
        },
        task::Wake,
    };

    use proptest::prelude::*;

    use super::*;

    #[derive(Default)]
    struct Count(AtomicUsize);
    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[derive(Clone, Debug)]
    enum Step {
        Insert(u64),
        Remove(usize),
        Reset(usize, u64),
        Fire(u64),
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            3 => (0..100u64).prop_map(Step::Insert),
            1 => any::<usize>().prop_map(Step::Remove),
            1 => (any::<usize>(), 0..100u64).prop_map(|(which, at)| Step::Reset(which, at)),
            1 => (0..60u64).prop_map(Step::Fire),
        ]
    }

    /// The model: timers that are set, by deadline and then by the order of setting.
    type Model = BTreeSet<(u64, u32, TimerId)>;

    fn take(model: &mut Model, which: usize) -> Option<TimerId> {
        let found = *model.iter().nth(which.checked_rem(model.len())?)?;
        model.remove(&found);
        Some(found.2)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(if cfg!(miri) { 1 } else { 256 }))]

        #[test]
        fn behaves_like_a_sorted_set(steps in prop::collection::vec(step(), 0..if cfg!(miri) { 60 } else { 400 })) {
            let mut queue = TimerQueue::new();
            let mut model = Model::new();
            let mut fired = Vec::new();
            for (step, sequence) in steps.into_iter().zip(0u32..) {
                match step {
                    Step::Insert(deadline) => {
                        let id = queue.insert(deadline, Waker::noop()).unwrap();
                        model.insert((deadline, sequence, id));
                    }
                    Step::Remove(which) => {
                        if let Some(id) = take(&mut model, which) {
                            queue.remove(id);
                        }
                    }
                    Step::Reset(which, deadline) => {
                        if let Some(id) = take(&mut model, which) {
                            prop_assert!(queue.reset(id, deadline));
                            model.insert((deadline, sequence, id));
                        }
                    }
                    Step::Fire(now) => {
                        while let Some(&first) = model.first().filter(|first| first.0 <= now) {
                            prop_assert!(!queue.poll(first.2, Waker::noop()));
                            prop_assert!(queue.pop_due(now).is_some());
                            prop_assert!(queue.poll(first.2, Waker::noop()));
                            model.pop_first();
                            fired.push(first.2);
                        }
                        prop_assert!(queue.pop_due(now).is_none());
                    }
                }
                prop_assert_eq!(queue.earliest().is_none(), model.is_empty());
                prop_assert!(queue.earliest().is_none_or(|at| at <= model.first().map_or(0, |first| first.0)));
                prop_assert_eq!(queue.heap.len() - queue.stale, model.len());
                prop_assert!(queue.stale <= FEW || queue.stale <= queue.heap.len() / 2);
            }
            for id in fired.into_iter().chain(model.into_iter().map(|timer| timer.2)) {
                queue.remove(id);
            }
            prop_assert!(queue.heap.is_empty() && queue.timers.next_used(0).is_none());
            prop_assert_eq!(queue.stale, 0);
        }
    }

    #[test]
    fn only_the_last_waker_is_woken() {
        let (first, second) = (Arc::new(Count::default()), Arc::new(Count::default()));
        let mut queue = TimerQueue::new();
        let id = queue.insert(5, &Waker::from(Arc::clone(&first))).unwrap();
        assert!(!queue.poll(id, &Waker::from(Arc::clone(&second))));
        assert!(queue.pop_due(4).is_none());
        queue.pop_due(5).unwrap().wake();
        let count = |count: &Count| count.0.load(Ordering::Relaxed);
        assert_eq!((count(&first), count(&second)), (0, 1));
        assert!(queue.remove(id).is_none());
    }
}
