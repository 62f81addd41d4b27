//! Walks the chain of frame pointers.
//!
//! All three architectures, compiled with frame pointers, keep the same record at the address in
//! the frame pointer: the caller's frame pointer, then the return address, one word each.

use crate::StackFrame;

/// Most frames that are walked, so that a damaged chain ends.
const MAX_FRAMES: usize = 48;

/// Calls `visit` with the program counter of `frame` and then with each return address above it,
/// innermost first. Stops at the first record that does not lie on a stack of the image, above
/// the one before it: a chain that was overwritten gives a short backtrace, never a fault.
pub fn walk(frame: StackFrame, mut visit: impl FnMut(usize)) {
    visit(frame.pc);
    let mut fp = frame.fp;
    for _ in 0..MAX_FRAMES {
        let Some((next, return_address)) = record_at(fp) else { return };
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

#[cfg(target_os = "none")]
fn record_at(fp: usize) -> Option<(usize, usize)> {
    const WORD: usize = size_of::<usize>();
    let end = fp.checked_add(2 * WORD)?;
    let inside = crate::image::stacks().iter().any(|stack| stack.start <= fp && end <= stack.end);
    if !inside || !fp.is_multiple_of(WORD) {
        return None;
    }
    let record = fp as *const usize;
    // SAFETY: both words lie, aligned, on one of the image's stacks, which stay mapped for ever;
    // any bit pattern is a valid usize.
    let (next, return_address) = unsafe { (record.read(), record.add(1).read()) };
    Some((next, crate::cpu::code_address(return_address)))
}

#[cfg(not(target_os = "none"))]
fn record_at(_fp: usize) -> Option<(usize, usize)> {
    None
}
