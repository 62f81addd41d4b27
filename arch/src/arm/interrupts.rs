//! Interrupt lines: who may come, and what happens when one does.

use core::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use arm_gic::Trigger;
use heapless::Vec;

use super::{
    clock,
    gic::{self, Acknowledged, Controller, GicError},
};
use crate::{
    Interrupt, Irq, IrqLock, MAX_DEVICES,
    fdt::{self, Gic},
    kernel_entry::upcall,
    local,
};

static CONTROLLER: IrqLock<Option<Controller>> = IrqLock::new(None);
/// Whether the controller is a GICv3, whose CPU interface needs no lock.
static IS_V3: AtomicBool = AtomicBool::new(false);
/// The line of the virtual timer.
static TIMER: AtomicU32 = AtomicU32::new(u32::MAX);
/// What the device tree says about lines. Others keep the trigger that they have.
static TRIGGERS: IrqLock<Vec<(Irq, Trigger), MAX_DEVICES>> = IrqLock::new(Vec::new());

/// A message-signalled interrupt: what a device writes where, and the line that it raises.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Message {
    /// Physical address to write to.
    pub address: u64,
    /// Value to write.
    pub data: u32,
    /// The line, for [`enable`] and [`Interrupt::Line`].
    pub irq: Irq,
}

/// Sets up the controller, with all lines disabled.
///
/// # Errors
/// [`GicError`]
pub(crate) fn init(gic: &Gic) -> Result<(), GicError> {
    let controller = Controller::new(gic)?;
    IS_V3.store(matches!(controller, Controller::V3 { .. }), Ordering::Relaxed);
    CONTROLLER.with(|slot| *slot = Some(controller));
    Ok(())
}

/// Keeps the trigger of a line for when it is enabled. Beyond the room there is, lines keep the
/// trigger that they have at reset.
pub(crate) fn set_trigger(irq: Irq, trigger: fdt::Trigger) {
    let trigger = match trigger {
        fdt::Trigger::Edge => Trigger::Edge,
        fdt::Trigger::Level => Trigger::Level,
    };
    TRIGGERS.with(|triggers| {
        let _ = triggers.push((irq, trigger));
    });
}

/// Enables the virtual timer's line.
pub(crate) fn use_timer(irq: Irq) {
    TIMER.store(irq.0, Ordering::Relaxed);
    enable(irq);
}

/// Lets `irq` interrupt this CPU, triggered as the device tree says. A number that is no line of
/// the interrupt controller never interrupts.
///
/// The first time, an edge that came before is lost, because the line was not configured for edges
/// yet: the caller has to see whether its device has interrupted already.
pub fn enable(irq: Irq) {
    let trigger = TRIGGERS.with(|triggers| {
        triggers.iter().find_map(|(other, trigger)| (*other == irq).then_some(*trigger))
    });
    CONTROLLER.with(|controller| {
        if let Some(controller) = controller {
            controller.enable(irq, trigger);
        }
    });
}

/// Keeps `irq` from interrupting. If it is pending it stays so.
pub fn disable(irq: Irq) {
    CONTROLLER.with(|controller| {
        if let Some(controller) = controller {
            controller.disable(irq);
        }
    });
}

/// A message-signalled interrupt for a PCI device. Always `None`: devices on these machines have
/// lines.
pub fn allocate_message() -> Option<Message> {
    None
}

/// Handles the interrupt that the processor has just taken. Called with interrupts off.
pub(crate) fn dispatch() {
    let Some(interrupt) = acknowledge() else { return };
    let irq = interrupt.irq;
    local::run_handler(|| {
        if irq.0 == TIMER.load(Ordering::Relaxed) {
            // The line is level-triggered: without this it would interrupt again at once.
            clock::set_deadline(None);
            upcall::interrupt(Interrupt::Timer);
        } else {
            upcall::interrupt(Interrupt::Line(irq));
        }
    });
    end(interrupt);
}

fn acknowledge() -> Option<Acknowledged> {
    if IS_V3.load(Ordering::Relaxed) {
        return gic::acknowledge_v3();
    }
    CONTROLLER.with(|controller| match controller {
        Some(Controller::V2(gic)) => gic::acknowledge_v2(gic),
        _ => None,
    })
}

fn end(interrupt: Acknowledged) {
    if IS_V3.load(Ordering::Relaxed) {
        return gic::end_v3(interrupt);
    }
    CONTROLLER.with(|controller| {
        if let Some(Controller::V2(gic)) = controller {
            gic::end_v2(gic, interrupt);
        }
    });
}
