//! Timers in the order of their deadlines.
//!
//! A heap with four children per node holds the deadlines; each entry and its timer know each
//! other, so that a timer can be taken out or moved without a search. A timer that is set and
//! cancelled before all others, as timeouts are, stays near the leaves and costs a few steps.

use alloc::vec::Vec;
use core::task::Waker;

use crate::executor::slab::Slab;

/// Number of children of a node of the heap.
const CHILDREN: usize = 4;

/// Position of a timer that has fired.
const FIRED: u32 = u32::MAX;

/// The number of a timer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct TimerId(u32);

#[derive(Default)]
struct Timer {
    waker: Option<Waker>,
    /// Where its entry is in the heap.
    position: u32,
}

#[derive(Clone, Copy)]
struct Entry {
    deadline: u64,
    /// Timers with the same deadline fire in the order in which they were set.
    sequence: u32,
    timer: u32,
}

impl Entry {
    fn is_before(&self, other: &Self) -> bool {
        let is_older = || self.sequence.wrapping_sub(other.sequence).cast_signed() < 0;
        self.deadline < other.deadline || (self.deadline == other.deadline && is_older())
    }
}

/// All timers of the executor.
pub(super) struct TimerQueue {
    heap: Vec<Entry>,
    timers: Slab<Timer>,
    sequence: u32,
}

impl TimerQueue {
    pub(super) const fn new() -> Self {
        Self { heap: Vec::new(), timers: Slab::new(), sequence: 0 }
    }

    /// The earliest deadline.
    pub(super) fn earliest(&self) -> Option<u64> {
        self.heap.first().map(|entry| entry.deadline)
    }

    /// Sets a new timer that wakes `waker` at `deadline`.
    ///
    /// # Panics
    /// When there is no memory for the timer.
    pub(super) fn insert(&mut self, deadline: u64, waker: Waker) -> TimerId {
        let timer = self.timers.insert("a timer").unwrap_or_else(|error| panic!("{error}"));
        self.timers.get_mut(timer).waker = Some(waker);
        self.enter(deadline, timer);
        TimerId(timer)
    }

    /// Whether the timer has fired. If not, `waker` is the one that it wakes.
    pub(super) fn poll(&mut self, id: TimerId, waker: &Waker) -> bool {
        let timer = self.timers.get_mut(id.0);
        if timer.position == FIRED {
            return true;
        }
        if !timer.waker.as_ref().is_some_and(|old| old.will_wake(waker)) {
            timer.waker = Some(waker.clone());
        }
        false
    }

    /// Changes the deadline of a timer, whether or not it has fired.
    pub(super) fn reset(&mut self, id: TimerId, deadline: u64) {
        let position = self.timers.get(id.0).position;
        if position != FIRED {
            self.leave(position as usize);
        }
        self.enter(deadline, id.0);
    }

    /// Removes a timer, and returns its waker to be dropped.
    pub(super) fn remove(&mut self, id: TimerId) -> Option<Waker> {
        let timer = self.timers.get_mut(id.0);
        let (position, waker) = (timer.position, timer.waker.take());
        self.timers.remove(id.0);
        if position != FIRED {
            self.leave(position as usize);
        }
        waker
    }

    /// Lets the earliest timer fire if its deadline has passed, and returns whom it wakes.
    pub(super) fn pop_due(&mut self, now: u64) -> Option<Waker> {
        loop {
            let first = *self.heap.first().filter(|first| first.deadline <= now)?;
            self.leave(0);
            let timer = self.timers.get_mut(first.timer);
            timer.position = FIRED;
            if let Some(waker) = timer.waker.take() {
                return Some(waker);
            }
        }
    }

    fn enter(&mut self, deadline: u64, timer: u32) {
        let entry = Entry { deadline, sequence: self.sequence, timer };
        self.sequence = self.sequence.wrapping_add(1);
        self.heap.push(entry);
        self.sift_up(self.heap.len() - 1, entry);
    }

    fn leave(&mut self, position: usize) {
        let Some(last) = self.heap.pop() else { return };
        if position < self.heap.len() {
            let parent = position.saturating_sub(1) / CHILDREN;
            if last.is_before(&self.heap[parent]) {
                self.sift_up(position, last);
            } else {
                self.sift_down(position, last);
            }
        }
        if self.heap.capacity() > 64 && self.heap.len() < self.heap.capacity() / 4 {
            self.heap.shrink_to(self.heap.capacity() / 2);
        }
    }

    /// Moves `entry`, which belongs at `hole` or closer to the root, to its place.
    fn sift_up(&mut self, mut hole: usize, entry: Entry) {
        while hole > 0 {
            let parent = (hole - 1) / CHILDREN;
            if !entry.is_before(&self.heap[parent]) {
                break;
            }
            self.put(hole, self.heap[parent]);
            hole = parent;
        }
        self.put(hole, entry);
    }

    /// Moves `entry`, which belongs at `hole` or further from the root, to its place.
    fn sift_down(&mut self, mut hole: usize, entry: Entry) {
        loop {
            let first = hole * CHILDREN + 1;
            let children = first..self.heap.len().min(first + CHILDREN);
            let earlier =
                |a: usize, b: usize| if self.heap[b].is_before(&self.heap[a]) { b } else { a };
            let Some(child) = children.reduce(earlier) else { break };
            if !self.heap[child].is_before(&entry) {
                break;
            }
            self.put(hole, self.heap[child]);
            hole = child;
        }
        self.put(hole, entry);
    }

    fn put(&mut self, position: usize, entry: Entry) {
        self.heap[position] = entry;
        self.timers.get_mut(entry.timer).position = position as u32;
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
        #![proptest_config(ProptestConfig::with_cases(if cfg!(miri) { 2 } else { 256 }))]

        #[test]
        fn behaves_like_a_sorted_set(steps in prop::collection::vec(step(), 0..400)) {
            let mut queue = TimerQueue::new();
            let mut model = Model::new();
            let mut fired = Vec::new();
            for (step, sequence) in steps.into_iter().zip(0u32..) {
                match step {
                    Step::Insert(deadline) => {
                        let id = queue.insert(deadline, Waker::noop().clone());
                        model.insert((deadline, sequence, id));
                    }
                    Step::Remove(which) => {
                        if let Some(id) = take(&mut model, which) {
                            queue.remove(id);
                        }
                    }
                    Step::Reset(which, deadline) => {
                        if let Some(id) = take(&mut model, which) {
                            queue.reset(id, deadline);
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
                prop_assert_eq!(queue.earliest(), model.first().map(|first| first.0));
            }
            for id in fired.into_iter().chain(model.into_iter().map(|timer| timer.2)) {
                queue.remove(id);
            }
            prop_assert_eq!((queue.heap.len(), queue.timers.len()), (0, 0));
        }
    }

    #[test]
    fn only_the_last_waker_is_woken() {
        let (first, second) = (Arc::new(Count::default()), Arc::new(Count::default()));
        let mut queue = TimerQueue::new();
        let id = queue.insert(5, Waker::from(Arc::clone(&first)));
        assert!(!queue.poll(id, &Waker::from(Arc::clone(&second))));
        assert!(queue.pop_due(4).is_none());
        queue.pop_due(5).unwrap().wake();
        let count = |count: &Count| count.0.load(Ordering::Relaxed);
        assert_eq!((count(&first), count(&second)), (0, 1));
        assert!(queue.remove(id).is_none());
    }
}
