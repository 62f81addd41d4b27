//! A thread in the place of a vCPU. It has no interrupts to switch off.

/// Whether interrupts are delivered. Never: the process has none.
pub fn interrupts_enabled() -> bool {
    false
}

/// Does nothing.
pub fn interrupts_disable() {}

/// Does nothing.
pub fn interrupts_enable() {}

/// `None`: the process asks the kernel for entropy instead.
pub fn hardware_random() -> Option<u64> {
    None
}
