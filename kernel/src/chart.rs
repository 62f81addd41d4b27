//! The boot chart: when each step of the boot was over.
//!
//! `cargo xtask bench boot` boots with the argument `mayfly.chart`, which prints it when the app's
//! `main` begins and again at the marks that come later; without it a mark is one counter read.

use mayfly_arch::{IrqLock, cpu};

/// Most steps that are kept; later ones are dropped.
const MAX_STEPS: usize = 24;

/// One step.
#[derive(Clone, Copy, Debug)]
pub struct Step {
    /// What was over.
    pub name: &'static str,
    /// The cycle counter at that moment: see `cpu::cycles` for its unit.
    pub cycles: u64,
}

static STEPS: IrqLock<heapless::Vec<Step, MAX_STEPS>> = IrqLock::new(heapless::Vec::new());

/// Notes that the step `name` is over. Later marks of the same name are ignored, so that "first
/// frame received" can be marked at every frame.
pub fn mark(name: &'static str) {
    STEPS.with(|steps| {
        if !steps.is_full() && steps.iter().all(|step| step.name != name) {
            let _ = steps.push(Step { name, cycles: cpu::cycles() });
        }
    });
}

/// The steps so far, in order.
pub fn steps() -> heapless::Vec<Step, MAX_STEPS> {
    STEPS.with(|steps| steps.clone())
}
