//! Per-vCPU state, and locks that interrupt handlers may take.
//!
//! A guest has one vCPU, so a `local!` value needs no lock, only the promise that an interrupt
//! handler never touches it. On the host every thread has its own, which is what lets tests run
//! in parallel.

/// Declares per-vCPU state: `local! { static NAME: Type = initial; }`, used by `NAME.with(|v| …)`.
///
/// The initial value must be a constant. The value is never dropped. It must not be used from
/// interrupt handlers; use [`IrqLock`](crate::IrqLock) for what they share.
#[cfg(target_os = "none")]
#[macro_export]
macro_rules! local {
    ($(#[$meta:meta])* $vis:vis static $name:ident: $type:ty = $init:expr;) => {
        $(#[$meta])* $vis static $name: $crate::Local<$type> = $crate::Local::new($init);
    };
}

/// Declares per-thread state on the host, with the interface of the bare-metal form.
#[cfg(not(target_os = "none"))]
#[macro_export]
macro_rules! local {
    ($(#[$meta:meta])* $vis:vis static $name:ident: $type:ty = $init:expr;) => {
        std::thread_local! { $(#[$meta])* $vis static $name: $type = const { $init }; }
    };
}

#[cfg(target_os = "none")]
mod bare {
    use core::convert::Infallible;

    /// A value that belongs to the one vCPU; see [`local!`](crate::local).
    pub struct Local<T>(T);

    // SAFETY: there is one vCPU (the others stay parked, `boot`), and `with` refuses to run in an
    // interrupt handler, so no two contexts ever hold a reference to the value at the same time
    // except nested calls of one context, which shared references allow.
    unsafe impl<T> Sync for Local<T> {}

    impl<T> Local<T> {
        /// Wraps the initial value.
        pub const fn new(value: T) -> Self {
            Self(value)
        }

        /// Runs `f` with the value.
        ///
        /// # Panics
        /// In an interrupt handler.
        pub fn with<R>(&'static self, f: impl FnOnce(&T) -> R) -> R {
            assert!(!crate::in_interrupt(), "per-vCPU state used in an interrupt handler");
            f(&self.0)
        }

        /// As [`with`](Self::with). Only a thread of the host, when it ends, has lost the value.
        ///
        /// # Errors
        /// None.
        ///
        /// # Panics
        /// In an interrupt handler.
        pub fn try_with<R>(&'static self, f: impl FnOnce(&T) -> R) -> Result<R, Infallible> {
            Ok(self.with(f))
        }
    }
}

#[cfg(target_os = "none")]
pub use bare::Local;

use core::sync::atomic::{AtomicBool, Ordering};

static IN_INTERRUPT: AtomicBool = AtomicBool::new(false);

/// Whether the caller runs in an interrupt handler.
pub fn in_interrupt() -> bool {
    IN_INTERRUPT.load(Ordering::Relaxed)
}

/// Marks the time in which an interrupt handler runs. Interrupts do not nest.
#[cfg(target_os = "none")]
pub(crate) fn run_handler(handler: impl FnOnce()) {
    IN_INTERRUPT.store(true, Ordering::Relaxed);
    handler();
    IN_INTERRUPT.store(false, Ordering::Relaxed);
}

/// A lock that keeps interrupts off while it is held, for what interrupt handlers share with tasks.
pub struct IrqLock<T>(spin::Mutex<T>);

impl<T> IrqLock<T> {
    /// Wraps the value.
    pub const fn new(value: T) -> Self {
        Self(spin::Mutex::new(value))
    }

    /// Runs `f` with the value, with interrupts off. Keep it short.
    ///
    /// Not reentrant: calling it from within `f` on the same lock hangs the guest.
    pub fn with<R>(&self, f: impl FnOnce(&mut T) -> R) -> R {
        let were_enabled = crate::cpu::interrupts_enabled();
        crate::cpu::interrupts_disable();
        let result = f(&mut self.0.lock());
        if were_enabled {
            crate::cpu::interrupts_enable();
        }
        result
    }

    /// As [`with`](Self::with), but gives up when the lock is held: for the fault report, which
    /// may have interrupted the holder.
    pub fn try_with<R>(&self, f: impl FnOnce(&mut T) -> R) -> Option<R> {
        let were_enabled = crate::cpu::interrupts_enabled();
        crate::cpu::interrupts_disable();
        let result = self.0.try_lock().map(|mut value| f(&mut value));
        if were_enabled {
            crate::cpu::interrupts_enable();
        }
        result
    }
}
