//! From an interrupt line to the driver that waits for it. Not for apps: it is public for the test
//! guests that break the rules for handlers.

use core::{
    fmt,
    sync::atomic::{AtomicU32, Ordering},
};

use heapless::Vec;
use mayfly_arch::{Interrupt, Irq, IrqLock, interrupts};
use mayfly_device::InterruptHandler;

/// Most handlers: one for each device that discovery keeps, and the timer.
const MAX_HANDLERS: usize = mayfly_arch::MAX_DEVICES + 1;

/// A handler of a line.
#[derive(Clone, Copy)]
struct Entry {
    irq: Irq,
    handler: &'static dyn InterruptHandler,
    /// A later entry is of the same line.
    is_shared: bool,
}

static TABLE: IrqLock<Vec<Entry, MAX_HANDLERS>> = IrqLock::new(Vec::new());

static SPURIOUS: AtomicU32 = AtomicU32::new(0);

/// The table of interrupt handlers is full.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TableFull;

impl fmt::Display for TableFull {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "more than {MAX_HANDLERS} interrupt handlers; give the guest fewer devices")
    }
}

impl core::error::Error for TableFull {}

/// Calls `handler` from now on whenever `irq` arrives, and switches the line on. Several handlers
/// may share a line.
///
/// Also calls it once itself, because the device works already and may have interrupted before. An
/// edge that came before the line was switched on is lost, and a device that raised its line then
/// keeps it up until it is quieted: without this call there would never be another edge.
///
/// # Errors
/// When the table is full.
pub fn register(irq: Irq, handler: &'static dyn InterruptHandler) -> Result<(), TableFull> {
    TABLE.with(|table| {
        table.push(Entry { irq, handler, is_shared: false }).map_err(|_| TableFull)?;
        let others = table.iter_mut().rev().skip(1);
        others.filter(|entry| entry.irq == irq).for_each(|entry| entry.is_shared = true);
        Ok(())
    })?;
    interrupts::enable(irq);
    handler.interrupt();
    Ok(())
}

/// Calls the handlers of an interrupt. A line without one is switched off, because nobody would
/// ever quiet its device.
///
/// The timer needs no handler: the executor looks at the clock whenever it comes out of its wait.
///
/// Called by the architecture, with interrupts off.
pub fn dispatch(interrupt: Interrupt) {
    let Interrupt::Line(irq) = interrupt else {
        return;
    };
    let mut from = 0;
    // The handlers run outside the lock, so that they may take as long as waking a task does.
    while let Some((at, entry)) = TABLE.with(|table| find(table, irq, from)) {
        entry.handler.interrupt();
        if !entry.is_shared {
            return;
        }
        from = at + 1;
    }
    interrupts::disable(irq);
    SPURIOUS.fetch_add(1, Ordering::Relaxed);
}

/// The first entry of `irq` at or after place `from` in the table, and its place.
fn find(table: &[Entry], irq: Irq, from: usize) -> Option<(usize, Entry)> {
    let rest = table.get(from..)?;
    let at = rest.iter().position(|entry| entry.irq == irq)?;
    rest.get(at).map(|entry| (from + at, *entry))
}

/// How many interrupts arrived that no handler was registered for.
pub(crate) fn spurious() -> u32 {
    SPURIOUS.load(Ordering::Relaxed)
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Count(AtomicU32);

    impl InterruptHandler for Count {
        fn interrupt(&self) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn handlers_are_called_for_their_line_only() {
        static FIRST: Count = Count(AtomicU32::new(0));
        static SECOND: Count = Count(AtomicU32::new(0));
        static OTHER: Count = Count(AtomicU32::new(0));
        register(Irq(40), &FIRST).unwrap();
        register(Irq(41), &OTHER).unwrap();
        register(Irq(40), &SECOND).unwrap();
        let count = |of: &Count| of.0.load(Ordering::Relaxed);
        // For what came before.
        assert_eq!((count(&FIRST), count(&SECOND), count(&OTHER)), (1, 1, 1));
        dispatch(Interrupt::Line(Irq(40)));
        dispatch(Interrupt::Timer);
        assert_eq!((count(&FIRST), count(&SECOND), count(&OTHER)), (2, 2, 1));

        let before = spurious();
        dispatch(Interrupt::Line(Irq(42)));
        assert_eq!(spurious(), before + 1);
    }
}
