//! Ways to break the rules of memory protection, for guests that must die of it. They are functions in
//! images that ship, too, so that reports have their names.

use core::{hint::black_box, mem, ptr, slice};

use mayfly::Result;

/// An address in the page of NULL, which is mapped nowhere.
pub const NOWHERE: usize = 0x10;

/// Writes a byte to an address that must not be writable.
#[inline(never)]
pub fn write(address: usize) -> Result {
    // SAFETY: none. The write must fault; that is the test.
    unsafe { (black_box(address) as *mut u8).write_volatile(0xc3) }
    crate::fail("the write went unnoticed")
}

/// Reads a byte from an address that must not be readable.
#[inline(never)]
pub fn read(address: usize) -> Result {
    // SAFETY: none. The read must fault; that is the test.
    black_box(unsafe { (black_box(address) as *const u8).read_volatile() });
    crate::fail("the read went unnoticed")
}

/// Calls an address that must not be executable.
#[inline(never)]
pub fn execute(address: usize) -> Result {
    // SAFETY: none. The call must fault at its first instruction; that is the test.
    let function: extern "C" fn() = unsafe { mem::transmute(black_box(address)) };
    function();
    crate::fail("the call went unnoticed")
}

/// Executes an instruction that there is not.
#[inline(never)]
pub fn undefined() -> Result {
    mayfly_arch::cpu::undefined_instruction()
}

/// A text that faults when it is read.
pub fn unreadable_text() -> &'static str {
    let bytes = ptr::without_provenance(black_box(NOWHERE));
    // SAFETY: none. Nothing is there, so that whoever reads the text faults; that is the test.
    unsafe { str::from_utf8_unchecked(slice::from_raw_parts(bytes, 4)) }
}

/// Has its caller go on with `value` as its frame pointer, so that the chain of frames leads there.
#[inline(never)]
pub fn ruin_frame_pointer(value: usize) {
    let record = ptr::with_exposed_provenance_mut::<usize>(mayfly_arch::cpu::frame_pointer());
    // SAFETY: none. The caller, which gets back what is written here, is to have a wrong frame
    // pointer; that is the test. It must use no variables from then on.
    unsafe { record.write_volatile(value) };
}

/// Writes to an address that is mapped nowhere, while the frame pointer is `value`.
#[inline(never)]
pub fn fault_with_frame_pointer(value: usize) {
    ruin_frame_pointer(value);
    // SAFETY: none. The write must fault; that is the test.
    unsafe { ptr::without_provenance_mut::<u8>(NOWHERE).write_volatile(0xc3) };
}
