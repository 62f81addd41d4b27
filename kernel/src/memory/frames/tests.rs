use proptest::prelude::*;

use super::*;
use crate::memory::test_memory::TestMemory;

#[test]
#[cfg_attr(miri, ignore = "takes minutes; the property test has a smaller one")]
fn a_large_guest_keeps_its_marks_in_its_largest_region() {
    let memory = TestMemory::new(&[3, 40 * 1024]);
    let mut frames = memory.frames();
    assert_eq!(frames.total(), 40 * 1024 + 3);
    // 40,963 marks take 5,121 bytes.
    assert_eq!(frames.free_frames(), frames.total() - 2);
    assert_eq!(frames.longest_run(), 40 * 1024 - 2);
    let all = frames.allocate(40 * 1024 - 2, 1).unwrap();
    assert!(frames.allocate(4, 1).is_none());
    let three = frames.allocate(3, 1).unwrap();
    assert_eq!((frames.free_frames(), frames.longest_run()), (0, 0));
    // SAFETY: allocated above and not used.
    unsafe {
        frames.free(all, 40 * 1024 - 2);
        frames.free(three, 3);
    }
    assert_eq!(frames.longest_run(), 40 * 1024 - 2);
}

#[test]
fn no_frames_at_all_is_no_fault() {
    let mut frames = FrameAllocator::new();
    assert!(frames.allocate(1, 1).is_none());
    // SAFETY: there are no regions.
    unsafe { frames.init(&[]) };
    assert!(frames.allocate(1, 1).is_none());
    assert_eq!((frames.total(), frames.longest_run()), (0, 0));
    assert!(frames.allocate(usize::MAX, 16).is_none());
}

#[test]
fn a_run_that_is_barely_long_enough_is_found() {
    let memory = TestMemory::new(&[300]);
    let mut frames = memory.frames();
    let run = frames.allocate(300, 1).unwrap();
    // SAFETY: allocated above and not used.
    unsafe { frames.free(run, 300) };
    assert!(frames.allocate(299, 16).is_some());
}

#[derive(Clone, Debug)]
enum Step {
    Allocate(usize, u32),
    Free(usize),
    FreeTail(usize, usize),
    Extend(usize, usize),
    Withdraw(usize, usize),
    Restore(usize),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (1..40usize, 0..6u32).prop_map(|(frames, align)| Step::Allocate(frames, align)),
        3 => any::<usize>().prop_map(Step::Free),
        1 => (any::<usize>(), 1..8usize).prop_map(|(which, tail)| Step::FreeTail(which, tail)),
        1 => (any::<usize>(), 1..8usize).prop_map(|(which, more)| Step::Extend(which, more)),
        1 => (1..40usize, 0..100usize).prop_map(|(most, left)| Step::Withdraw(most, left)),
        1 => (1..40usize).prop_map(Step::Restore),
    ]
}

/// Writes a value that is unique to each allocated frame, to see that no two are the same.
fn mark(start: NonNull<u8>, frames: usize) {
    for frame in 0..frames {
        // SAFETY: the frames are allocated to the test.
        unsafe {
            let at = start.add(frame * PAGE_SIZE);
            at.write_bytes(0xff, 64);
            at.cast::<usize>().write(at.addr().get());
        }
    }
}

fn is_marked(start: NonNull<u8>, frames: usize) -> bool {
    (0..frames).all(|frame| {
        // SAFETY: the frames are allocated to the test and marked.
        unsafe {
            let at = start.add(frame * PAGE_SIZE);
            at.cast::<usize>().read() == at.addr().get()
        }
    })
}

fn pick<T>(all: &[T], which: usize) -> Option<usize> {
    which.checked_rem(all.len())
}

/// The runs that are allocated to the property test.
type Used = Vec<(NonNull<u8>, usize), 400>;

/// What a withdrawn frame begins with, as nobody touches it, and how many bytes of that: lists of free
/// runs write to fewer.
const GONE: u8 = 0xee;
const HEAD: usize = 64;

fn withdraw(
    (most, left): (usize, usize),
    frames: &mut FrameAllocator,
    gone: &mut Used,
) -> Result<(), TestCaseError> {
    let (free, total) = (frames.free_frames(), frames.total());
    match frames.withdraw(most, left) {
        Some((start, count)) => {
            prop_assert!((1..=most).contains(&count) && frames.free_frames() >= left);
            prop_assert_eq!(frames.total(), total - count);
            for frame in 0..count {
                // SAFETY: withdrawn just now, and nobody else may touch it.
                unsafe { start.add(frame * PAGE_SIZE).write_bytes(GONE, HEAD) };
            }
            gone.push((start, count)).unwrap();
        }
        None => prop_assert!(free <= left && frames.free_frames() == free),
    }
    Ok(())
}

/// Restores up to `most` of the frames that were withdrawn last, which nobody has touched.
fn restore(most: usize, frames: &mut FrameAllocator, gone: &mut Used) -> Result<(), TestCaseError> {
    let Some((start, all)) = gone.pop() else { return Ok(()) };
    let count = all.min(most);
    // SAFETY: the tail of a run.
    let (rest, start) = ((start, all - count), unsafe { start.add((all - count) * PAGE_SIZE) });
    if rest.1 > 0 {
        gone.push(rest).unwrap();
    }
    for frame in 0..count {
        // SAFETY: withdrawn, and so written to before.
        let head = unsafe { slice::from_raw_parts(start.add(frame * PAGE_SIZE).as_ptr(), HEAD) };
        prop_assert!(head.iter().all(|byte| *byte == GONE));
    }
    // SAFETY: withdrawn, with memory.
    unsafe { frames.restore(start, count) };
    Ok(())
}

fn take(
    step: Step,
    frames: &mut FrameAllocator,
    used: &mut Used,
    gone: &mut Used,
) -> Result<(), TestCaseError> {
    match step {
        Step::Allocate(count, align) => {
            if let Some(start) = frames.allocate(count, 1 << align) {
                prop_assert_eq!(start.addr().get() % (PAGE_SIZE << align), 0);
                mark(start, count);
                used.push((start, count)).unwrap();
            } else {
                prop_assert!(frames.longest_run() < count + (1 << align) - 1);
            }
        }
        Step::Free(which) => {
            if let Some(which) = pick(used, which) {
                give_back(used.swap_remove(which), frames)?;
            }
        }
        Step::FreeTail(which, tail) => {
            if let Some(which) = pick(used, which).filter(|&which| used[which].1 > tail) {
                let (start, count) = &mut used[which];
                *count -= tail;
                // SAFETY: all that is in `used` is allocated, and the tail is not in it any more.
                unsafe { frames.free(start.add(*count * PAGE_SIZE), tail) };
            }
        }
        Step::Extend(which, more) => {
            if let Some(which) = pick(used, which) {
                let (start, count) = &mut used[which];
                // SAFETY: all that is in `used` is allocated.
                if unsafe { frames.extend(*start, *count, more) } {
                    *count += more;
                    mark(*start, *count);
                }
            }
        }
        Step::Withdraw(most, left) => withdraw((most, left), frames, gone)?,
        Step::Restore(most) => restore(most, frames, gone)?,
    }
    Ok(())
}

/// Frees a run that was in `Used`, to which nobody else has written.
fn give_back(
    (start, count): (NonNull<u8>, usize),
    frames: &mut FrameAllocator,
) -> Result<(), TestCaseError> {
    prop_assert!(is_marked(start, count));
    // SAFETY: what was in `Used` is allocated, and not used any more.
    unsafe { frames.free(start, count) };
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(if cfg!(miri) { 1 } else { 200 }))]

    #[test]
    fn allocated_frames_are_disjoint_and_all_come_back(
        steps in prop::collection::vec(step(), 0..if cfg!(miri) { 60 } else { 300 }),
        is_large in any::<bool>(),
    ) {
        // The large one has more marks than fit into the allocator itself.
        let regions: &[usize] = if is_large { &[3, 1100, 64] } else { &[100, 1, 64, 17] };
        let memory = TestMemory::new(regions);
        let mut frames = memory.frames();
        let (total, longest) = (frames.free_frames(), frames.longest_run());
        prop_assert_eq!(frames.total() - total, usize::from(is_large));
        let all = frames.total();
        let (mut used, mut gone) = (Used::new(), Used::new());
        for step in steps {
            take(step, &mut frames, &mut used, &mut gone)?;
            let in_use: usize = used.iter().map(|run| run.1).sum();
            let withdrawn: usize = gone.iter().map(|run| run.1).sum();
            prop_assert_eq!(frames.total(), all - withdrawn);
            prop_assert_eq!(frames.free_frames(), total - in_use - withdrawn);
        }
        while !gone.is_empty() {
            restore(7, &mut frames, &mut gone)?;
        }
        prop_assert_eq!(frames.total(), all);
        for run in used {
            give_back(run, &mut frames)?;
        }
        frames.put_away();
        prop_assert_eq!((frames.free_frames(), frames.longest_run()), (total, longest));
    }
}
