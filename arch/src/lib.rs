//! The machine under Mayfly.
//!
//! Everything that differs between processors lives here, and nothing else does: boot assembly,
//! page tables, exceptions, interrupt controllers, clocks and the ways to stop. `x86_64/`,
//! `aarch64/` and `armv7/` have the modules below and each of them meets the contract;
//! `arm/` holds what the two ARM architectures share; `host/` is a Linux process, for development
//! and for tests, which needs neither `boot` nor `exceptions`. This file is the only one with
//! `cfg(target_arch)`.
//!
//! # The contract
//!
//! | module | every architecture defines |
//! |---|---|
//! | `boot` | the entry point in assembly; fills in a [`BootInfo`] and calls the kernel's `start` |
//! | `console` | `write(&[u8])`: polled output that works from the first instruction of Rust on; `console.rs` is in front of it |
//! | `hypercall` | `call`: asks the hypervisor Xen for something; `CAN_SUSPEND` says whether that may be to suspend the guest |
//! | `cpu` | `wait_for_interrupt`, `interrupts_enabled/disable/enable`, `hardware_random`, `frame_pointer`, `code_address` of a return address, `cycles`, `missing_protection` that ought to be on |
//! | `mmu` | `phys_to_virt`, `virt_to_phys`, `map_device`, `map_shared`, `seal`, `is_sealed` |
//! | `exceptions` | decodes a fault into a [`Fault`] and calls the kernel's `fault` |
//! | `interrupts` | `enable`, `disable` an [`Irq`]; `allocate_message` (MSI) where the machine has it |
//! | `clock` | `now` in nanoseconds since boot, `set_deadline`, `go_on_from` after a suspension, `wall_clock` where the machine has one |
//! | `ports` | I/O ports, for PCI configuration and the 16550; an empty bus where there are none |
//! | `power` | `configure` from the command line; `power_off`, `reboot`, `crash`, with the exit status where the machine can carry one |
//!
//! Control goes up from here in three places only, the functions that [`kernel_entry!`] names.
#![cfg_attr(target_os = "none", no_std)]

mod address;
pub mod backtrace;
mod boot_info;
pub mod console;
mod fault;
#[cfg(any(not(target_os = "none"), target_arch = "aarch64", target_arch = "arm"))]
pub mod fdt;
#[cfg(target_os = "none")]
pub mod image;
mod kernel_entry;
mod local;
#[cfg(any(not(target_os = "none"), target_arch = "x86_64"))]
#[doc(hidden)]
pub mod start_info;
pub mod xen;

pub use address::{PAGE_SIZE, PhysAddr, PhysRange};
pub use boot_info::{
    BootInfo, Device, HostDevice, HostLink, Hypervisor, MAX_DEVICES, MAX_REGIONS, PciHost, Uart,
    UartKind, VirtioMmio, Xen,
};
pub use fault::{Fault, StackFrame};
pub use kernel_entry::{Interrupt, Irq};
#[cfg(target_os = "none")]
pub use local::Local;
pub use local::{IrqLock, in_interrupt};

#[cfg(all(target_os = "none", target_arch = "x86_64"))]
#[path = "x86_64/ports.rs"]
pub mod ports;
#[cfg(not(all(target_os = "none", target_arch = "x86_64")))]
#[path = "no_ports.rs"]
pub mod ports;

#[cfg(any(
    all(target_os = "none", any(target_arch = "aarch64", target_arch = "arm")),
    all(test, not(target_os = "none"))
))]
mod arm;

#[cfg(all(target_os = "none", target_arch = "x86_64"))]
#[path = "x86_64/mod.rs"]
mod machine;
#[cfg(all(target_os = "none", target_arch = "aarch64"))]
#[path = "aarch64/mod.rs"]
mod machine;
#[cfg(all(target_os = "none", target_arch = "arm"))]
#[path = "armv7/mod.rs"]
mod machine;
#[cfg(not(target_os = "none"))]
#[path = "host/mod.rs"]
mod machine;

pub use machine::{NAME, clock, cpu, hypercall, interrupts, mmu, power};
#[cfg(not(target_os = "none"))]
pub use machine::{poll, simulation};

/// What the registers that describe a fault say, which needs no ARM to be tested.
#[cfg(test)]
#[path = "."]
mod arm_faults {
    #[path = "aarch64/esr.rs"]
    mod esr;
    #[path = "armv7/fsr.rs"]
    mod fsr;
}

/// Arithmetic of the x86-64 clock, which needs no x86-64 to be tested.
#[cfg(test)]
#[path = "x86_64/clock"]
#[allow(dead_code, reason = "only the tests use it on the host")]
mod x86_64_clock {
    mod calendar;
    mod calibration;
    mod rate;
}
