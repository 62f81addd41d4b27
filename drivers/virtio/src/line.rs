//! The interrupt of one device.

use core::{ptr::NonNull, task::Context};

use mayfly_device::{InterruptHandler, Signal};
use safe_mmio::{UniqueMmioPointer, fields::WriteOnly};

/// Both causes in virtio-mmio's `InterruptStatus` and `InterruptACK` (section 4.2.2): a buffer was
/// used, the configuration changed.
const ALL_CAUSES: u32 = 3;

/// Where the interrupt of a device arrives, and where its driver waits for it.
///
/// It lives for ever, because the interrupt table refers to it.
pub(crate) struct Line {
    /// The register that quiets a level-triggered device; message interrupts need none.
    acknowledge: Option<NonNull<WriteOnly<u32>>>,
    signal: Signal,
}

// SAFETY: the pointer is to a device register that only `interrupt` uses, by single writes.
unsafe impl Send for Line {}
// SAFETY: as above.
unsafe impl Sync for Line {}

impl Line {
    /// The interrupt of a device that interrupts by messages, which need no acknowledgement.
    pub(crate) const fn message() -> Self {
        Self { acknowledge: None, signal: Signal::new() }
    }

    /// The interrupt of a virtio-mmio device.
    ///
    /// # Safety
    /// `acknowledge` is its `InterruptACK` register, mapped for ever, and nobody else uses it.
    pub(crate) const unsafe fn level(acknowledge: NonNull<u32>) -> Self {
        Self { acknowledge: Some(acknowledge.cast()), signal: Signal::new() }
    }

    /// Wakes the task of `cx` when the device interrupts from now on. The caller looks at its queues
    /// after that.
    pub(crate) fn watch(&self, cx: &mut Context<'_>) {
        self.signal.watch(cx);
    }
}

impl InterruptHandler for Line {
    fn interrupt(&self) {
        if let Some(register) = self.acknowledge {
            // Not reading the status first saves an exit to the hypervisor: whatever the cause,
            // the driver looks at its queues afterwards.
            // SAFETY: `level` was promised the register.
            unsafe { UniqueMmioPointer::new(register) }.write(ALL_CAUSES);
        }
        self.signal.raise();
    }
}
