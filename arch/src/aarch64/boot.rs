//! The entry point: `boot.S` and the constants that it shares with Rust.

use core::arch::global_asm;

use crate::{
    PhysAddr,
    arm::{
        console::UART_GUESS,
        descriptor::{CODE_PAGE, MAIR, Permissions, TABLE, USER_NEVER},
        power::SYSTEM_OFF,
        start::{Entry, start},
    },
    fdt::Conduit,
};

/// Bits of SCTLR_EL1 that are 1 where nothing else is said (ARM DDI 0487 D19.2.118).
const SCTLR_OFF: u64 = 0x30d0_0800;
/// With MMU, data cache, stack alignment check, instruction cache, and without execution of
/// whatever is writable (WXN).
const SCTLR_ON: u64 = SCTLR_OFF | 1 << 0 | 1 << 2 | 1 << 3 | 1 << 12 | 1 << 19;
/// TCR_EL1: 39 bits of address space through TTBR0 (T0SZ), walked through inner shareable
/// write-back caches (IRGN0, ORGN0, SH0); none through TTBR1 (EPD1); 4 KiB granule.
const TCR: u64 = 25 | 1 << 8 | 1 << 10 | 3 << 12 | 25 << 16 | 1 << 23 | 2 << 30;
/// Start of a device tree.
const TREE_MAGIC: u64 = 0xd00d_feed;
/// Largest device tree that the boot protocol allows.
const TREE_MAX: u64 = 2 << 20;

global_asm!(
    include_str!("boot.S"),
    SCTLR_OFF = const SCTLR_OFF,
    SCTLR_ON = const SCTLR_ON,
    TCR = const TCR,
    MAIR = const MAIR,
    TABLE = const TABLE,
    PAGE_TEXT = const CODE_PAGE | USER_NEVER,
    PAGE_READ_ONLY = const Permissions::ReadOnly.page(),
    PAGE_READ_WRITE = const Permissions::ReadWrite.page(),
    TREE_MAGIC = const TREE_MAGIC,
    TREE_MAX = const TREE_MAX,
    UART_GUESS = const UART_GUESS,
    PSCI_SYSTEM_OFF = const SYSTEM_OFF,
    start = sym enter,
);

/// Called by `boot.S` on the main stack, with BSS cleared.
extern "C" fn enter(tree: u64, image: u64, counter: u64, entered_at_el2: u64) -> ! {
    // Who entered at EL2 has given up hypervisor calls.
    let conduit = if entered_at_el2 == 0 { Conduit::Hvc } else { Conduit::Smc };
    let entry = Entry { tree: PhysAddr(tree), image: PhysAddr(image), counter, conduit };
    // SAFETY: `boot.S` calls this once, with what it found, after it has set up the address space.
    unsafe { start(&entry) }
}
