//! The three places where the machine calls the kernel.

/// An interrupt line, numbered as the machine's interrupt controller numbers it: GIC interrupt id
/// on ARM, global system interrupt or message vector (see `interrupts::allocate_message`) on x86.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Irq(pub u32);

/// Why the kernel's `interrupt` function was called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interrupt {
    /// The deadline set with `clock::set_deadline` has passed.
    Timer,
    /// A device raised its line. It is acknowledged at the controller after the call returns, so a
    /// level-triggered device must have been quieted, or its line disabled, by then.
    Line(Irq),
}

/// Defines the symbols through which an architecture enters the kernel. Used once, by the kernel.
///
/// - `start: fn(&'static BootInfo) -> !` runs on the main stack, with interrupts off, everything
///   mapped and the console usable.
/// - `interrupt: fn(Interrupt)` runs with interrupts off, on the interrupted stack or one of its
///   own. It only marks and wakes: no allocation, no device work beyond the acknowledgement.
/// - `fault: fn(&Fault<'_>) -> !` reports and stops. It is called once: when it faults itself, the
///   architecture says so in one line and stops the machine.
#[macro_export]
macro_rules! kernel_entry {
    (start: $start:path, interrupt: $interrupt:path, fault: $fault:path $(,)?) => {
        // SAFETY: the names are reserved to this macro, and the signatures are those that
        // `mayfly-arch` declares for them.
        #[unsafe(no_mangle)]
        extern "Rust" fn __mayfly_start(info: &'static $crate::BootInfo) -> ! {
            $start(info)
        }
        #[unsafe(no_mangle)]
        extern "Rust" fn __mayfly_interrupt(interrupt: $crate::Interrupt) {
            $interrupt(interrupt)
        }
        #[unsafe(no_mangle)]
        extern "Rust" fn __mayfly_fault(fault: &$crate::Fault<'_>) -> ! {
            $fault(fault)
        }
    };
}

#[cfg(target_os = "none")]
pub(crate) mod upcall {
    use super::Interrupt;
    use crate::{BootInfo, Fault};

    unsafe extern "Rust" {
        safe fn __mayfly_start(info: &'static BootInfo) -> !;
        safe fn __mayfly_interrupt(interrupt: Interrupt);
        safe fn __mayfly_fault(fault: &Fault<'_>) -> !;
    }

    /// Enters the kernel for good.
    pub(crate) fn start(info: &'static BootInfo) -> ! {
        __mayfly_start(info)
    }

    /// Tells the kernel of an interrupt.
    pub(crate) fn interrupt(interrupt: Interrupt) {
        __mayfly_interrupt(interrupt)
    }

    /// Gives the kernel a fault to report.
    pub(crate) fn fault(fault: &Fault<'_>) -> ! {
        __mayfly_fault(fault)
    }
}
