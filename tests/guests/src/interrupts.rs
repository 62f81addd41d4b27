//! Interrupt handlers of guests' own, for what they may do and what they must not.

use mayfly::{Machine, Result, interrupts::register};
use mayfly_arch::{Irq, NAME};
use mayfly_device::InterruptHandler;

/// The lines at which disks interrupt: those of the slots for virtio devices that QEMU's machines
/// microvm and virt have, and those by which Xen announces events.
fn lines() -> impl Iterator<Item = Irq> {
    let (slots, events) = if NAME == "x86_64" { (5..24, 0x17e) } else { (48..80, 31) };
    slots.chain([events]).map(Irq)
}

/// Has the first disk interrupt the guest, and `handler` called at that, after the handler of the
/// driver. It is called once for each line before, too, outside of an interrupt.
///
/// # Errors
/// If there are more handlers than there is room for, or the disk cannot be read.
pub async fn take(machine: &Machine, handler: &'static dyn InterruptHandler) -> Result {
    let disk = machine.disk(0).await?;
    for line in lines() {
        register(line, handler).map_err(|_| "there are too many handlers")?;
    }
    disk.read(0, &mut [0; 512]).await?;
    Ok(())
}
