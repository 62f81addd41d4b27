//! A process has no hypervisor to call.

/// Nobody suspends a process in this way.
pub const CAN_SUSPEND: bool = false;

/// `-ENOSYS`, which Xen answers to calls that it does not know.
const NOT_IMPLEMENTED: isize = -38;

/// Fails.
///
/// # Safety
/// Always safe.
pub unsafe fn call(_number: usize, _arguments: [usize; 5]) -> isize {
    NOT_IMPLEMENTED
}
