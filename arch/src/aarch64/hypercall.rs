//! Hypercalls: HVC with an immediate value that is Xen's.

use core::arch::asm;

/// Whether Xen can suspend a guest of this architecture, and resume it in another domain.
pub const CAN_SUSPEND: bool = false;

/// Calls Xen: `number` is that of the call (`__HYPERVISOR_*` in xen/include/public/xen.h). Returns
/// what Xen does, a negative error number if it failed.
///
/// # Safety
/// The guest runs on Xen, and what the call makes Xen do with the guest's memory is sound.
pub unsafe fn call(number: usize, arguments: [usize; 5]) -> isize {
    let [a, b, c, d, e] = arguments;
    let result;
    // SAFETY: what the caller promises. Xen keeps all registers but X16 and those of arguments
    // (xen/include/public/arch-arm.h).
    unsafe {
        asm!(
            "hvc #0xea1",
            inlateout("x16") number => _,
            inlateout("x0") a => result,
            inlateout("x1") b => _, inlateout("x2") c => _,
            inlateout("x3") d => _, inlateout("x4") e => _,
            options(nostack),
        );
    }
    result
}
