//! The entry point: `boot.S` and the constants that it shares with Rust.

use core::arch::global_asm;

use super::registers::mode;
use crate::{
    PhysAddr,
    arm::{
        console::UART_GUESS,
        descriptor::{CODE_PAGE, MAIR, Permissions, TABLE},
        power::SYSTEM_OFF,
        start::{Entry, start},
    },
    fdt::Conduit,
};

/// Bits of SCTLR that are 1 where nothing else is said (ARM DDI 0406C B4.1.130).
const SCTLR_OFF: u32 = 0x00c5_0078;
/// With MMU, data cache, branch prediction, instruction cache, and without execution of whatever
/// is writable, by the kernel (WXN) or user mode (UWXN).
const SCTLR_ON: u32 = SCTLR_OFF | 1 << 0 | 1 << 2 | 1 << 11 | 1 << 12 | 1 << 19 | 1 << 20;
/// TTBCR: long descriptors (EAE); all 32 bits of address space through TTBR0, walked through inner
/// shareable write-back caches (IRGN0, ORGN0, SH0); none through TTBR1 (EPD1).
const TTBCR: u32 = 1 << 8 | 1 << 10 | 3 << 12 | 1 << 23 | 1 << 31;
/// CPSR when Hyp mode is left: SVC mode, everything masked.
const CPSR_START: u32 = mode::SVC | 1 << 6 | 1 << 7 | 1 << 8;
/// Start of a device tree.
const TREE_MAGIC: u32 = 0xd00d_feed;
/// Largest device tree that is moved.
const TREE_MAX: u32 = 2 << 20;

global_asm!(
    include_str!("boot.S"),
    MODE_MASK = const mode::MASK,
    MODE_SVC = const mode::SVC,
    MODE_ABORT = const mode::ABORT,
    MODE_HYP = const mode::HYP,
    CPSR_START = const CPSR_START,
    SCTLR_OFF = const SCTLR_OFF,
    SCTLR_ON = const SCTLR_ON,
    TTBCR = const TTBCR,
    MAIR = const MAIR,
    TABLE = const TABLE,
    PAGE_TEXT = const CODE_PAGE,
    PAGE_READ_ONLY = const Permissions::ReadOnly.page(),
    PAGE_READ_WRITE = const Permissions::ReadWrite.page(),
    TREE_MAGIC = const TREE_MAGIC,
    TREE_MAX = const TREE_MAX,
    UART_GUESS = const UART_GUESS,
    PSCI_SYSTEM_OFF = const SYSTEM_OFF,
    start = sym enter,
);

/// Called by `boot.S` on the main stack, with BSS cleared.
extern "C" fn enter(tree: u32, image: u32, counter: u64, entered_in_hyp: u32) -> ! {
    // Where the guest itself has Hyp mode, the firmware answers behind smc.
    let conduit = if entered_in_hyp == 0 { Conduit::Hvc } else { Conduit::Smc };
    let (tree, image) = (PhysAddr(tree.into()), PhysAddr(image.into()));
    // SAFETY: `boot.S` calls this once, with what it found, after it has set up the address space.
    unsafe { start(&Entry { tree, image, counter, conduit }) }
}
