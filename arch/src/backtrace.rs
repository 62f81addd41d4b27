//! Walks the chain of frame pointers.
//!
//! All three architectures, compiled with frame pointers, keep the same record at the address in
//! the frame pointer: the caller's frame pointer, then the return address, one word each.

use core::{ops::Range, ptr};

use crate::StackFrame;

/// Most frames that are walked, so that a damaged chain ends.
const MAX_FRAMES: usize = 48;

/// Bytes in a word, of which a record has two.
const WORD: usize = size_of::<usize>();

/// Calls `visit` with the program counter of `frame` and then with each return address above it,
/// innermost first. Stops at the first record that does not lie on a stack of the image, above
/// the one before it: a chain that was overwritten gives a short backtrace, never a fault.
pub fn walk(frame: StackFrame, visit: impl FnMut(usize)) {
    #[cfg(target_os = "none")]
    let stacks = crate::image::stacks();
    #[cfg(not(target_os = "none"))]
    let stacks = [];
    // SAFETY: the image's stacks stay mapped for ever.
    unsafe { walk_on(&stacks, frame, visit) }
}

/// As [`walk`], on these stacks.
///
/// # Safety
/// Each of `stacks` is memory that can be read.
unsafe fn walk_on(stacks: &[Range<usize>], frame: StackFrame, mut visit: impl FnMut(usize)) {
    visit(frame.pc);
    let mut fp = frame.fp;
    for _ in 0..MAX_FRAMES {
        // SAFETY: the same condition.
        let Some((next, return_address)) = (unsafe { record_at(stacks, fp) }) else { return };
        if return_address == 0 {
            return;
        }
        visit(return_address);
        if next <= fp {
            return;
        }
        fp = next;
    }
}

/// The record at `fp`: what the frame pointer was before, and the return address.
///
/// # Safety
/// As of [`walk_on`].
unsafe fn record_at(stacks: &[Range<usize>], fp: usize) -> Option<(usize, usize)> {
    let end = fp.checked_add(2 * WORD)?;
    let inside = stacks.iter().any(|stack| stack.start <= fp && end <= stack.end);
    if !inside || !fp.is_multiple_of(WORD) {
        return None;
    }
    let record = ptr::with_exposed_provenance::<usize>(fp);
    // SAFETY: both words lie, aligned, on one of the stacks, which can be read; any bit pattern is
    // a valid usize.
    let (next, return_address) = unsafe { (record.read(), record.add(1).read()) };
    Some((next, crate::cpu::code_address(return_address)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const PC: usize = 7;

    /// The program counters that a walk sees which begins at `fp` and goes over `words` as the stack,
    /// of which word `n` stands at `start + n * WORD`. `fill` is told `start`.
    fn seen(fp: impl Fn(usize) -> usize, fill: impl Fn(usize, &mut [usize; 8])) -> Vec<usize> {
        let mut words = [0; 8];
        let start = (&raw const words).addr();
        fill(start, &mut words);
        (&raw const words).expose_provenance();
        let stack = start..start + size_of_val(&words);
        let mut seen = Vec::new();
        let frame = StackFrame { pc: PC, fp: fp(start) };
        // SAFETY: the stack is `words`, which nobody writes any more.
        unsafe { walk_on(&[stack], frame, |address| seen.push(address)) };
        seen
    }

    /// Two records: at word 0, which leads to word 4, and there, which leads to `end`.
    fn chain_to(end: impl Fn(usize) -> usize) -> Vec<usize> {
        seen(
            |start| start,
            |start, words| {
                (words[0], words[1]) = (start + 4 * WORD, 100);
                (words[4], words[5]) = (end(start), 200);
                (words[6], words[7]) = (0, 300);
            },
        )
    }

    #[test]
    fn a_whole_chain_is_walked_to_its_end() {
        assert_eq!(chain_to(|_| 0), [PC, 100, 200]);
        assert_eq!(chain_to(|start| start + 6 * WORD), [PC, 100, 200, 300]);
    }

    #[test]
    fn a_chain_that_goes_back_or_stands_still_ends() {
        assert_eq!(chain_to(|start| start), [PC, 100, 200]);
        assert_eq!(chain_to(|start| start + 4 * WORD), [PC, 100, 200]);
    }

    #[test]
    fn a_chain_that_leaves_the_stack_ends() {
        for end in [8 * WORD, 7 * WORD, 6 * WORD + 1, 1 << 20] {
            assert_eq!(chain_to(|start| start + end), [PC, 100, 200], "{end}");
        }
        assert_eq!(chain_to(|_| usize::MAX), [PC, 100, 200]);
        assert_eq!(chain_to(|_| usize::MAX - 2 * WORD + 1), [PC, 100, 200]);
    }

    #[test]
    fn a_frame_pointer_that_is_none_gives_only_the_place() {
        let full = |_: usize, words: &mut [usize; 8]| words.fill(5);
        for wild in [0, 1, 0x10, usize::MAX, usize::MAX - WORD + 1] {
            assert_eq!(seen(|_| wild, full), [PC], "{wild:#x}");
        }
        assert_eq!(seen(|start| start - WORD, full), [PC]);
        assert_eq!(seen(|start| start + 1, full), [PC]);
        assert_eq!(seen(|start| start + 7 * WORD, full), [PC]);
    }
}
