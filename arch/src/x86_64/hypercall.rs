//! Hypercalls by the instruction for them, which differs between the makers of processors. The page
//! of calls that Xen offers would hide that, at the price of a page that Xen writes and the guest
//! executes.

use core::{
    arch::asm,
    sync::atomic::{AtomicBool, Ordering},
};

use super::cpuid;

/// Whether Xen can suspend a guest of this architecture, and resume it in another domain.
pub const CAN_SUSPEND: bool = true;

/// Whether the instruction is AMD's, VMMCALL, and not Intel's, VMCALL.
static IS_AMD: AtomicBool = AtomicBool::new(false);

/// Finds out which instruction to use.
pub(super) fn init() {
    IS_AMD.store(cpuid::has_svm_instructions(), Ordering::Relaxed);
}

/// Calls Xen: `number` is that of the call (`__HYPERVISOR_*` in xen/include/public/xen.h). Returns
/// what Xen does, a negative error number if it failed.
///
/// # Safety
/// The guest runs on Xen, and what the call makes Xen do with the guest's memory is sound.
pub unsafe fn call(number: usize, arguments: [usize; 5]) -> isize {
    let [a, b, c, d, e] = arguments;
    let result;
    // SAFETY: what the caller promises. Xen keeps all registers but RAX and those of arguments
    // (xen/include/public/arch-x86/xen-x86_64.h).
    unsafe {
        if IS_AMD.load(Ordering::Relaxed) {
            asm!(
                "vmmcall",
                inlateout("rax") number => result,
                inlateout("rdi") a => _, inlateout("rsi") b => _, inlateout("rdx") c => _,
                inlateout("r10") d => _, inlateout("r8") e => _,
                options(nostack),
            );
        } else {
            asm!(
                "vmcall",
                inlateout("rax") number => result,
                inlateout("rdi") a => _, inlateout("rsi") b => _, inlateout("rdx") c => _,
                inlateout("r10") d => _, inlateout("r8") e => _,
                options(nostack),
            );
        }
    }
    result
}
