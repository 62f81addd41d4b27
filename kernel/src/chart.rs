//! The boot chart: when each step of the boot was over.
//!
//! `cargo xtask bench boot` asks the guest nothing: it finds the marks in the image, by the debug
//! information, and counts the instructions between them. Where nobody can count for it, on real
//! hardware, an app reads the chart itself, from [`steps`].

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_is_noted_once_and_in_order() {
        for name in ["one", "two", "one"] {
            mark(name);
        }
        let steps = steps();
        assert!(steps.iter().map(|step| step.name).eq(["one", "two"]));
        assert!(steps.is_sorted_by_key(|step| step.cycles));
    }
}
