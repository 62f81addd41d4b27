//! The processor's protections are on, as far as it has them.
//!
//! Of most of them other guests show that they work. That SMEP does cannot be shown: it takes a page
//! for user mode, there is none, and none can be mapped once the page tables are sealed. WXN only
//! shows with a page that is writable and executable, and there is none of these either.
//@ machine: microvm gic3 hyp-gic3 xen
//@ cpu: default max
#![no_std]
#![no_main]

#[mayfly::main]
async fn main() -> mayfly::Result {
    check_registers()?;
    guests::pass()
}

#[cfg(target_arch = "x86_64")]
fn check_registers() -> mayfly::Result {
    use core::arch::{asm, x86_64::__cpuid_count};

    use guests::check;

    const CR0_WP: usize = 1 << 16;
    const CR4_SMEP: usize = 1 << 20;
    const EFER: u32 = 0xc000_0080;
    const EFER_NXE: u32 = 1 << 11;
    /// Leaf 7, EBX.
    const HAS_SMEP: u32 = 1 << 7;

    let (cr0, cr4, efer): (usize, usize, u32);
    // SAFETY: reading these registers changes nothing, and the guest runs in ring 0. EDX, the upper
    // half of the last one, is given up.
    unsafe {
        asm!("mov {}, cr0", out(reg) cr0, options(nomem, nostack, preserves_flags));
        asm!("mov {}, cr4", out(reg) cr4, options(nomem, nostack, preserves_flags));
        asm!("rdmsr", in("ecx") EFER, out("eax") efer, out("edx") _,
            options(nomem, nostack, preserves_flags));
    }
    let has_leaf_7 = __cpuid_count(0, 0).eax >= 7;
    let has_smep = has_leaf_7 && __cpuid_count(7, 0).ebx & HAS_SMEP != 0;
    mayfly::println!("cr0 {cr0:#x}, cr4 {cr4:#x}, efer {efer:#x}, SMEP exists: {has_smep}");
    check(cr0 & CR0_WP != 0, "the kernel may write to what is read-only: no CR0.WP")?;
    check(efer & EFER_NXE != 0, "everything is executable: no EFER.NXE")?;
    check(!has_smep || cr4 & CR4_SMEP != 0, "pages of user mode are executable: no CR4.SMEP")
}

#[cfg(any(target_arch = "aarch64", target_arch = "arm"))]
fn check_registers() -> mayfly::Result {
    use core::arch::asm;

    use guests::check;

    const MMU: usize = 1;
    const WXN: usize = 1 << 19;

    let control: usize;
    // SAFETY: reading this register changes nothing, and the guest runs at EL1 or in SVC mode.
    unsafe {
        #[cfg(target_arch = "aarch64")]
        asm!("mrs {}, sctlr_el1", out(reg) control, options(nomem, nostack, preserves_flags));
        #[cfg(target_arch = "arm")]
        asm!("mrc p15, 0, {}, c1, c0, 0", out(reg) control,
            options(nomem, nostack, preserves_flags));
    }
    mayfly::println!("SCTLR {control:#x}");
    check(control & MMU != 0, "the MMU is off")?;
    check(control & WXN != 0, "what is writable is executable: no SCTLR.WXN")
}
