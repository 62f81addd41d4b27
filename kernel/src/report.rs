//! The fault report: one, once, then the end.
//!
//! It is written straight to the console, by polling, since nothing else can be trusted any more.
//! If writing it fails in turn, the second report is one line. Nothing here allocates or waits.

use core::{
    fmt::{self, Write as _},
    panic::{Location, PanicMessage},
    sync::atomic::{AtomicBool, Ordering},
};

use mayfly_arch::{Fault, StackFrame, backtrace, cpu};

use crate::{
    executor, interrupts, log, memory,
    power::{self, ExitStatus},
    symbols::Place,
};

static REPORTING: AtomicBool = AtomicBool::new(false);

/// Reports a processor exception and stops.
pub(crate) fn fault(fault: &Fault<'_>) -> ! {
    begin();
    let _ = writeln!(Out, "*** mayfly: fault: {}", fault.cause);
    if let Some(address) = fault.address {
        let _ = writeln!(Out, "    address {address:#x}");
    }
    if let Some(hit) = fault.hit {
        let _ = writeln!(Out, "    hit the {hit}");
    }
    let _ = write!(Out, "registers:\n{}", fault.registers);
    describe(fault.frame);
    mayfly_arch::power::crash(ExitStatus::FAULT.0)
}

/// Reports a panic, and stops, or goes on without the task that panicked if the app chose so.
pub(crate) fn panic(message: PanicMessage<'_>, location: Option<&Location<'_>>) -> ! {
    let holds_no_lock = cpu::interrupts_enabled();
    begin();
    let _ = write!(Out, "*** mayfly: panic: {message}");
    if let Some(location) = location {
        let _ = write!(Out, "\n    at {location}");
    }
    let _ = writeln!(Out);
    let pc = cpu::code_address(panic as *const () as usize);
    describe(StackFrame { pc, fp: cpu::frame_pointer() });
    if !holds_no_lock || !executor::abandon_task() {
        mayfly_arch::power::crash(ExitStatus::PANIC.0);
    }
    let _ = writeln!(Out, "*** mayfly: going on without the task that panicked");
    REPORTING.store(false, Ordering::Relaxed);
    crate::console::go_on();
    cpu::interrupts_enable();
    power::off(executor::go_on().unwrap_or(ExitStatus::FAILURE))
}

/// Makes sure that there is one report.
fn begin() {
    cpu::interrupts_disable();
    if REPORTING.swap(true, Ordering::Relaxed) {
        let _ = writeln!(Out, "\n*** mayfly: another fault while the report was written; ending");
        mayfly_arch::power::crash(ExitStatus::FAULT.0);
    }
    crate::console::flush_blocking();
}

/// Writes what does not depend on the cause.
fn describe(frame: StackFrame) {
    let _ = writeln!(Out, "backtrace:");
    let mut innermost = true;
    backtrace::walk(frame, |address| {
        let place = if innermost { Place::at(address) } else { Place::returning_to(address) };
        innermost = false;
        let _ = writeln!(Out, "{place}");
    });
    let _ = writeln!(Out, "memory: {}", memory::stats());
    if let Some(failure) = memory::last_failure() {
        let _ = writeln!(Out, "    last failed allocation: {failure}");
    }
    let spurious = interrupts::spurious();
    if spurious > 0 {
        let _ = writeln!(Out, "interrupts that nobody expected: {spurious}");
    }
    let _ = writeln!(Out, "tasks:");
    if !executor::tasks(|task| _ = writeln!(Out, "    {task}")) {
        let _ = writeln!(Out, "    unknown: the executor was at work on its tables");
    }
    let _ = writeln!(Out, "last log lines:");
    log::history(mayfly_arch::console::write);
    let _ = writeln!(Out, "*** end of report");
}

/// The polled console.
struct Out;

impl fmt::Write for Out {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        mayfly_arch::console::write(text.as_bytes());
        Ok(())
    }
}
