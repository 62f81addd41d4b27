//! From an interrupt handler to the task that waits for it.

use core::{
    sync::atomic::{AtomicBool, Ordering},
    task::{Context, Poll},
};

use atomic_waker::AtomicWaker;

/// What runs when an interrupt arrives. Runs in interrupt context: it only quiets the device,
/// marks and wakes. It is also run once when its line is switched on, for what came before.
pub trait InterruptHandler: Send + Sync {
    /// The interrupt arrived.
    fn interrupt(&self);
}

/// A mark that an interrupt handler sets and one task waits for.
#[derive(Default)]
pub struct Signal {
    raised: AtomicBool,
    waker: AtomicWaker,
}

impl Signal {
    /// A signal that is not raised.
    pub const fn new() -> Self {
        Self { raised: AtomicBool::new(false), waker: AtomicWaker::new() }
    }

    /// Raises the signal and wakes the task that waits for it. Callable from interrupt handlers.
    pub fn raise(&self) {
        self.raised.store(true, Ordering::Release);
        self.waker.wake();
    }

    /// Wakes the task of `cx` when the signal is raised from now on. For who looks at the device
    /// itself afterwards: cheaper than [`poll`](Self::poll), and what was raised before does not
    /// count. One task at a time.
    pub fn watch(&self, cx: &mut Context<'_>) {
        self.waker.register(cx.waker());
    }

    /// Takes the signal if it is raised.
    pub fn take(&self) -> bool {
        self.raised.swap(false, Ordering::Acquire)
    }

    /// Ready when the signal was raised since it was last taken; otherwise the task of `cx` is
    /// woken when it is. One task at a time.
    pub fn poll(&self, cx: &mut Context<'_>) -> Poll<()> {
        if self.take() {
            return Poll::Ready(());
        }
        self.waker.register(cx.waker());
        if self.take() { Poll::Ready(()) } else { Poll::Pending }
    }
}
