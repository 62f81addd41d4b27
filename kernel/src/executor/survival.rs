//! What becomes of a task that panics.
//!
//! A panic ends the guest, unless the app chose that it ends only the task. On the host the panic
//! then unwinds as far as the executor. A guest has no unwinding: the panic handler reports, ends
//! the task, and runs the executor itself, on top of the stack of the task, which stays as it was
//! for good. So nothing that the task borrowed or lent is ever given back or dropped, which is what
//! makes this sound, and what each panic costs: the task's memory and the stack up to the panic.

use core::cell::Cell;

/// How many panics a guest survives: every one takes some of the stack for good.
#[cfg(target_os = "none")]
const MOST_PANICS: u32 = 8;

/// What the app chose, and how often it came to that.
pub(super) struct Survival {
    is_chosen: Cell<bool>,
    #[cfg(target_os = "none")]
    panics: Cell<u32>,
}

impl Survival {
    pub(super) const fn new() -> Self {
        Self {
            is_chosen: Cell::new(false),
            #[cfg(target_os = "none")]
            panics: Cell::new(0),
        }
    }

    pub(super) fn choose(&self, survive: bool) {
        self.is_chosen.set(survive);
    }

    #[cfg(not(target_os = "none"))]
    pub(super) fn is_chosen(&self) -> bool {
        self.is_chosen.get()
    }

    /// Whether the guest can live on after one more panic.
    #[cfg(target_os = "none")]
    pub(super) fn takes_one_more(&self) -> bool {
        let panics = self.panics.get() + 1;
        self.panics.set(panics);
        self.is_chosen.get() && panics <= MOST_PANICS
    }
}
