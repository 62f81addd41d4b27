//! Interrupt handlers of guests' own, for what they may do and what they must not.

use core::ops::Range;

use mayfly::{Machine, Result, interrupts::register};
use mayfly_arch::{Irq, NAME};
use mayfly_device::InterruptHandler;

/// The lines at which disks may interrupt: on Xen the one by which it announces events, otherwise those
/// of the slots for virtio devices that QEMU's machines microvm and virt have.
fn lines(is_xen: bool) -> Range<u32> {
    match (is_xen, NAME) {
        (true, "x86_64") => 0x17e..0x17f,
        (true, _) => 31..32,
        (false, "x86_64") => 5..24,
        (false, _) => 48..80,
    }
}

/// Has the first disk interrupt the guest, and `handler` called at that, after the handler of the
/// driver. It is called once for each line before, too, outside of an interrupt.
///
/// # Errors
/// If there are more handlers than there is room for, or the disk cannot be read.
pub async fn take(machine: &Machine, handler: &'static dyn InterruptHandler) -> Result {
    let disk = machine.disk(0).await?;
    for line in lines(machine.xen().is_some()) {
        register(Irq(line), handler).map_err(|_| "there are too many handlers")?;
    }
    disk.read(0, &mut [0; 512]).await?;
    Ok(())
}
