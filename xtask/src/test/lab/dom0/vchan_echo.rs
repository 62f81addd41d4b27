//! A program for dom0: one end of a vchan, which sends back what it gets.
//!
//! ```text
//! vchan-echo server DOMAIN PATH LEFT RIGHT    rings for at least so many bytes
//! vchan-echo client DOMAIN PATH
//! ```
//!
//! It is linked with libxenvchan and the C library of Debian, whatever the processor, and with
//! nothing else: so it takes neither a C compiler nor a Rust standard library for that C library.
#![no_std]
#![no_main]

use core::ffi::{CStr, c_char, c_int, c_void};
use core::panic::PanicInfo;
use core::{ptr, slice};

// What the C library has in crt1.o: it is told where main and the arguments are.
#[cfg(target_arch = "x86_64")]
core::arch::global_asm!(
    ".globl _start",
    "_start:",
    "xor ebp, ebp",
    "mov r9, rdx",
    "pop rsi",
    "mov rdx, rsp",
    "and rsp, -16",
    "push rax",
    "push rsp",
    "xor r8d, r8d",
    "xor ecx, ecx",
    "lea rdi, [rip + main]",
    "call [rip + __libc_start_main@GOTPCREL]",
    "hlt",
);
#[cfg(target_arch = "aarch64")]
core::arch::global_asm!(
    ".globl _start",
    "_start:",
    "mov x29, #0",
    "mov x30, #0",
    "mov x5, x0",
    "ldr x1, [sp]",
    "add x2, sp, #8",
    "mov x6, sp",
    "adrp x0, main",
    "add x0, x0, :lo12:main",
    "mov x3, #0",
    "mov x4, #0",
    "bl __libc_start_main",
    "brk #0",
);

/// `struct libxenvchan`, which is the library's own business.
type Vchan = c_void;

unsafe extern "C" {
    fn libxenvchan_server_init(
        logger: *mut c_void,
        domain: c_int,
        path: *const c_char,
        left: usize,
        right: usize,
    ) -> *mut Vchan;
    fn libxenvchan_client_init(
        logger: *mut c_void,
        domain: c_int,
        path: *const c_char,
    ) -> *mut Vchan;
    fn libxenvchan_read(vchan: *mut Vchan, data: *mut c_void, size: usize) -> c_int;
    fn libxenvchan_write(vchan: *mut Vchan, data: *const c_void, size: usize) -> c_int;
    fn libxenvchan_wait(vchan: *mut Vchan) -> c_int;
    fn libxenvchan_is_open(vchan: *mut Vchan) -> c_int;
    fn libxenvchan_close(vchan: *mut Vchan);
    fn printf(format: *const c_char, ...) -> c_int;
    fn usleep(microseconds: u32) -> c_int;
    fn abort() -> !;
}

#[panic_handler]
fn panic(_: &PanicInfo<'_>) -> ! {
    // SAFETY: as any program may.
    unsafe { abort() }
}

/// Nothing unwinds, but the core library names this.
#[unsafe(no_mangle)]
extern "C" fn rust_eh_personality() {}

/// The program.
#[unsafe(no_mangle)]
extern "C" fn main(count: c_int, arguments: *const *const c_char) -> c_int {
    // SAFETY: so it is by the C standard.
    let arguments =
        unsafe { slice::from_raw_parts(arguments, usize::try_from(count).unwrap_or(0)) };
    let argument = |index: usize| arguments.get(index).copied();
    let (Some(role), Some(domain), Some(path)) = (argument(1), number(argument(2)), argument(3))
    else {
        return 2;
    };
    // SAFETY: arguments are texts that end, and stay.
    let vchan = unsafe {
        match (CStr::from_ptr(role).to_bytes(), number(argument(4)), number(argument(5))) {
            (b"server", Some(left), Some(right)) => {
                libxenvchan_server_init(ptr::null_mut(), domain as c_int, path, left, right)
            }
            _ => loop {
                let vchan = libxenvchan_client_init(ptr::null_mut(), domain as c_int, path);
                if !vchan.is_null() {
                    break vchan;
                }
                usleep(50_000);
            },
        }
    };
    if vchan.is_null() {
        return 3;
    }
    // SAFETY: a vchan of the library's.
    let total = unsafe { echo(vchan) };
    // SAFETY: a format for one number.
    unsafe { printf(c"%lu bytes were sent back\n".as_ptr(), total) };
    0
}

fn number(argument: Option<*const c_char>) -> Option<usize> {
    // SAFETY: arguments are texts that end.
    unsafe { CStr::from_ptr(argument?) }.to_str().ok()?.parse().ok()
}

/// Sends back what comes, until the other side closes. Returns how many bytes that were.
///
/// # Safety
/// `vchan` is one, and is not used afterwards.
unsafe fn echo(vchan: *mut Vchan) -> usize {
    let mut buffer = [0_u8; 1 << 14];
    let mut total = 0;
    // SAFETY: the caller's promise; the buffer is as long as is said.
    unsafe {
        loop {
            let read = libxenvchan_read(vchan, buffer.as_mut_ptr().cast(), buffer.len());
            let Ok(read) = usize::try_from(read) else { break };
            if read == 0 && (libxenvchan_is_open(vchan) == 0 || libxenvchan_wait(vchan) != 0) {
                break;
            }
            let mut rest = buffer.get(..read).unwrap_or_default();
            while !rest.is_empty() {
                let written = libxenvchan_write(vchan, rest.as_ptr().cast(), rest.len());
                if written < 0 || (written == 0 && libxenvchan_wait(vchan) != 0) {
                    libxenvchan_close(vchan);
                    return total;
                }
                total += written as usize;
                rest = rest.get(written as usize..).unwrap_or_default();
            }
        }
        libxenvchan_close(vchan);
    }
    total
}
