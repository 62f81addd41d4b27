//! Balloons on fakes of XenStore, of Xen, and of the guest's memory.

extern crate std;

use std::{
    boxed::Box,
    cell::{Cell, RefCell},
    collections::BTreeSet,
    format,
    rc::Rc,
};

use proptest::prelude::*;

use super::*;
use crate::{
    fake::Guest,
    store::fake::{DOMAIN, HOME},
};

/// KiB that the guest has at most, and the frames for that.
const MOST: u64 = 4096;
const FRAMES: u64 = MOST / KIB_PER_FRAME;

/// Memory of a guest: which of its frames are free and which withdrawn. The others are in use.
#[derive(Clone, Default)]
struct Spare {
    free: Rc<RefCell<BTreeSet<u64>>>,
    withdrawn: Rc<RefCell<BTreeSet<u64>>>,
    /// How many stay free.
    reserve: Rc<Cell<usize>>,
}

/// The first frames of a set that are next to each other.
fn first(set: &BTreeSet<u64>, most: usize) -> Option<Frames> {
    let first = *set.first()?;
    let is_next = |(frame, number): &(&u64, u64)| **frame == *number;
    let count = set.iter().zip(first..).take(most).take_while(is_next).count();
    (count > 0).then_some(Frames { first, count })
}

fn each(frames: Frames) -> impl Iterator<Item = u64> {
    frames.first..frames.first + frames.count as u64
}

// SAFETY: there are no frames but numbers.
unsafe impl Memory for Spare {
    fn withdraw(&self, most: usize) -> Option<Frames> {
        let mut free = self.free.borrow_mut();
        let frames = first(&free, most.min(free.len().saturating_sub(self.reserve.get())))?;
        for frame in each(frames) {
            assert!(free.remove(&frame) && self.withdrawn.borrow_mut().insert(frame));
        }
        Some(frames)
    }

    unsafe fn restore(&self, frames: Frames) {
        assert_ne!(frames.count, 0);
        for frame in each(frames) {
            assert!(self.withdrawn.borrow_mut().remove(&frame));
            assert!(self.free.borrow_mut().insert(frame));
        }
    }
}

/// Xen: which frames have memory, and how many may change.
struct FakeXen {
    filled: RefCell<BTreeSet<u64>>,
    /// Frames that it still takes or gives.
    allowed: Cell<usize>,
    calls: Cell<usize>,
}

impl Reservation for FakeXen {
    unsafe fn change(&self, change: Change, frames: &[u64]) -> usize {
        assert!((1..=BATCH).contains(&frames.len()));
        self.calls.set(self.calls.get() + 1);
        let done = frames.len().min(self.allowed.get());
        self.allowed.set(self.allowed.get() - done);
        let mut filled = self.filled.borrow_mut();
        frames[..done].iter().for_each(|frame| match change {
            Change::Decrease => assert!(filled.remove(frame)),
            Change::Populate => assert!(filled.insert(*frame)),
        });
        done
    }
}

/// A guest with a balloon.
struct Bench {
    guest: Guest,
    spare: Spare,
    xen: &'static FakeXen,
}

impl Bench {
    /// One with so much memory for now.
    fn new(target: u64) -> Self {
        let guest = Guest::new();
        let all: BTreeSet<u64> = (0x100..0x100 + FRAMES).collect();
        let spare = Spare { free: Rc::new(RefCell::new(all.clone())), ..Spare::default() };
        let (filled, allowed) = (RefCell::new(all), Cell::new(usize::MAX));
        let xen = Box::leak(Box::new(FakeXen { filled, allowed, calls: Cell::new(0) }));
        let bench = Self { guest, spare, xen };
        bench.put("static-max", MOST);
        bench.put("target", target);
        let mut balloon = Balloon::with(bench.spare.clone(), bench.xen, MOST * 1024);
        let (store, clock) = (bench.guest.bench.store.clone(), bench.guest.clock());
        bench.guest.spawn(async move {
            let mut watches = [store.watch(TARGET).await.unwrap()];
            loop {
                balloon
                    .work_until(&mut watches, async |time| clock.sleep(time).await)
                    .await
                    .unwrap();
                balloon
                    .ask(&store.read_each(&[TARGET, STATIC_MAX].map(String::from)).await.unwrap());
            }
        });
        bench.guest.settle();
        bench
    }

    fn put(&self, name: &str, value: impl fmt::Display) {
        self.guest.bench.put(&format!("{HOME}/memory/{name}"), format!("{value}"), DOMAIN);
    }

    /// The tools want this, and the guest does what it can.
    fn set(&self, target: impl fmt::Display) {
        self.put("target", target);
        self.guest.settle();
        self.check();
    }

    /// KiB that the guest has.
    fn has(&self) -> u64 {
        self.xen.filled.borrow().len() as u64 * KIB_PER_FRAME
    }

    /// What is withdrawn is with Xen, and nothing else is.
    fn check(&self) {
        let (filled, withdrawn) = (self.xen.filled.borrow(), self.spare.withdrawn.borrow());
        assert!(filled.is_disjoint(&withdrawn));
        assert_eq!((filled.len() + withdrawn.len()) as u64, FRAMES);
        assert!(self.spare.free.borrow().is_subset(&filled));
    }

    /// An app uses all free frames but so many.
    fn use_all_but(&self, left: usize) -> Vec<u64> {
        let mut free = self.spare.free.borrow_mut();
        let used = free.iter().copied().skip(left).collect::<Vec<_>>();
        used.iter().for_each(|frame| _ = free.remove(frame));
        used
    }
}

#[test]
fn a_guest_becomes_as_small_and_as_large_as_it_is_asked_to() {
    let bench = Bench::new(MOST);
    assert_eq!((bench.has(), bench.xen.calls.get()), (MOST, 0));
    for target in [2048, 1024, 3072, MOST, 0, MOST + 1000, 1000] {
        bench.set(target);
        assert_eq!(bench.has(), target.min(MOST));
    }
    // Parts of a frame do not count.
    for (target, expected) in [(1001, 1004), (1003, 1004), (1004, 1004)] {
        bench.set(target);
        assert_eq!(bench.has(), expected);
    }
}

#[test]
fn a_guest_that_begins_with_less_than_its_memory_map_shows_gives_back_the_rest() {
    let bench = Bench::new(1024);
    bench.check();
    assert_eq!(bench.has(), 1024);
}

#[test]
fn what_makes_no_sense_changes_nothing() {
    let bench = Bench::new(2048);
    for target in ["", "-1", "much", "1e3", "99999999999999999999"] {
        bench.set(target);
        assert_eq!(bench.has(), 2048);
    }
    bench.guest.bench.take_away(&format!("{HOME}/memory"));
    bench.guest.settle();
    assert_eq!(bench.has(), 2048);
    // `xl mem-max` does not change the memory map.
    bench.put("static-max", 3000);
    bench.set(1024);
    assert_eq!(bench.has(), 1024);
    bench.put("static-max", 1_u64 << 40);
    bench.set(2048);
    assert_eq!(bench.has(), 2048);
}

#[test]
fn what_is_in_use_is_not_given_back_until_it_is_free() {
    let bench = Bench::new(MOST);
    bench.spare.reserve.set(16);
    let used = bench.use_all_but(100);
    bench.set(1024);
    assert_eq!(bench.has(), MOST - (100 - 16) * KIB_PER_FRAME);
    let used_now = used.len() / 2;
    bench.spare.free.borrow_mut().extend(&used[used_now..]);
    bench.guest.settle();
    let before = bench.has();
    bench.guest.elapse(Duration::from_secs(FIRST));
    assert_eq!(bench.has(), before - (used.len() - used_now) as u64 * KIB_PER_FRAME);
    // Who asks seldom asks all the same.
    (0..50).for_each(|_| bench.guest.elapse(Duration::from_secs(LONGEST)));
    bench.spare.free.borrow_mut().extend(&used[..used_now]);
    bench.guest.elapse(Duration::from_secs(LONGEST));
    assert_eq!(bench.has(), 1024);
    bench.check();
}

#[test]
fn xen_is_asked_ever_more_seldom_for_what_it_does_not_have() {
    let bench = Bench::new(1024);
    bench.xen.allowed.set(100);
    bench.set(2048);
    assert_eq!(bench.has(), 1024 + 100 * KIB_PER_FRAME);
    let calls = bench.xen.calls.get();
    let expected = [1, 3, 7, 15, 31, 63, 95, 127, 159];
    let mut tries = Vec::new();
    for second in 1..=160 {
        let before = bench.xen.calls.get();
        bench.guest.elapse(Duration::from_secs(1));
        tries.extend((bench.xen.calls.get() > before).then_some(second));
    }
    assert_eq!(tries, expected);
    assert_eq!(bench.xen.calls.get() - calls, expected.len());
    bench.xen.allowed.set(usize::MAX);
    // A new target is reason to try at once.
    bench.set(2052);
    assert_eq!(bench.has(), 2052);
}

#[test]
fn a_frame_that_xen_does_not_take_is_used_again() {
    let bench = Bench::new(MOST);
    bench.xen.allowed.set(70);
    bench.set(1024);
    assert_eq!(bench.has(), MOST - 70 * KIB_PER_FRAME);
    assert_eq!(bench.spare.free.borrow().len() as u64, FRAMES - 70);
}

#[test]
fn in_another_domain_the_guest_goes_on_as_it_was() {
    let bench = Bench::new(1024);
    bench.guest.move_on();
    bench.guest.settle();
    assert_eq!(bench.has(), 1024);
    bench.set(MOST);
    assert_eq!(bench.has(), MOST);
}

proptest! {
    #[test]
    fn nothing_is_lost_whatever_happens(
        steps in prop::collection::vec((0..2 * MOST, 0..400_usize, 0..2000_usize, 0..40_u64), 1..20),
    ) {
        let bench = Bench::new(MOST);
        bench.spare.reserve.set(16);
        let mut used = Vec::new();
        for (target, left, allowed, seconds) in steps {
            bench.spare.free.borrow_mut().extend(used);
            used = bench.use_all_but(left);
            bench.xen.allowed.set(allowed);
            bench.set(target);
            bench.guest.elapse(Duration::from_secs(seconds));
            bench.check();
        }
        bench.xen.allowed.set(usize::MAX);
        bench.set(MOST + 1);
        prop_assert_eq!(bench.has(), MOST);
        prop_assert!(bench.spare.withdrawn.borrow().is_empty());
    }
}
