//! A process has no hypervisor to call.

/// `-ENOSYS`, which Xen answers to calls that it does not know.
const NOT_IMPLEMENTED: isize = -38;

/// Fails.
///
/// # Safety
/// Always safe.
pub unsafe fn call(_number: usize, _arguments: [usize; 5]) -> isize {
    NOT_IMPLEMENTED
}
