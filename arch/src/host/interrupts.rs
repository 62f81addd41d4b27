//! A process has no interrupt lines: devices are file descriptors, which `poll` waits for.

use crate::Irq;

/// What a device writes where to raise an interrupt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Message {
    /// Physical address that it writes to.
    pub address: u64,
    /// Value that it writes.
    pub data: u32,
    /// The interrupt that this raises.
    pub irq: Irq,
}

/// Does nothing.
pub fn enable(_irq: Irq) {}

/// Does nothing.
pub fn disable(_irq: Irq) {}

/// `None`: there is no interrupt controller.
pub fn allocate_message() -> Option<Message> {
    None
}
