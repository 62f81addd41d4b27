//! What both sides do with the bits of the two levels.
//!
//! Each function is about one word; what a bit stands for, its caller knows.

use core::sync::atomic::Ordering;

use crate::shared_word::SharedWord;

/// The byte that announces events, in the first word.
pub(super) const UPCALL_PENDING: u32 = 0xff;

/// Takes note that there are events: Xen interrupts at the next one again.
pub(super) fn acknowledge<W: SharedWord>(first: &W) {
    first.fetch_and(!UPCALL_PENDING, Ordering::SeqCst);
}

/// The words of pending bits that have something, which are to be looked at now.
pub(super) fn select<W: SharedWord>(selector: &W) -> u32 {
    selector.swap(0, Ordering::SeqCst)
}

/// The channels of a word that have an event and are not held back; what comes from now on is
/// announced anew.
pub(super) fn take<W: SharedWord>(pending: &W, mask: &W) -> u32 {
    let held_back = mask.load(Ordering::SeqCst);
    let events = pending.load(Ordering::SeqCst) & !held_back;
    pending.fetch_and(!events, Ordering::SeqCst);
    events
}

/// Lets a channel's events through. One that has come meanwhile is not announced again, so the
/// caller looks itself.
pub(super) fn let_through<W: SharedWord>(pending: &W, mask: &W, bit: u32) {
    mask.fetch_and(!bit, Ordering::SeqCst);
    // As long as the bit is set, Xen announces nothing more.
    pending.fetch_and(!bit, Ordering::SeqCst);
}

/// Holds a channel's events back.
pub(super) fn hold_back<W: SharedWord>(mask: &W, bit: u32) {
    mask.fetch_or(bit, Ordering::SeqCst);
}
