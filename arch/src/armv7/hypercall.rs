//! Hypercalls: HVC with an immediate value that is Xen's.

unsafe extern "C" {
    /// In `calls.S`.
    fn xen_call(a: usize, b: usize, c: usize, d: usize, e: usize, number: usize) -> isize;
}

/// Whether Xen can suspend a guest of this architecture, and resume it in another domain.
pub const CAN_SUSPEND: bool = false;

/// Calls Xen: `number` is that of the call (`__HYPERVISOR_*` in xen/include/public/xen.h). Returns
/// what Xen does, a negative error number if it failed.
///
/// # Safety
/// The guest runs on Xen, and what the call makes Xen do with the guest's memory is sound.
pub unsafe fn call(number: usize, arguments: [usize; 5]) -> isize {
    let [a, b, c, d, e] = arguments;
    // SAFETY: what the caller promises.
    unsafe { xen_call(a, b, c, d, e, number) }
}
