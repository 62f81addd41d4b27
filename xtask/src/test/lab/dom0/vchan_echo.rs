//! A program for dom0: one end of a vchan, which sends back what it gets until the other side closes, or
//! its domain is gone, of which libxenvchan does not tell.
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

/// `struct libxenvchan` and `struct xs_handle`, which are the libraries' own business.
type Vchan = c_void;
type Store = c_void;

/// `struct pollfd` of poll(2).
#[repr(C)]
struct PollFd {
    fd: c_int,
    events: i16,
    revents: i16,
}

const POLLIN: i16 = 1;

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
    fn libxenvchan_data_ready(vchan: *mut Vchan) -> c_int;
    fn libxenvchan_buffer_space(vchan: *mut Vchan) -> c_int;
    fn libxenvchan_fd_for_select(vchan: *mut Vchan) -> c_int;
    fn libxenvchan_wait(vchan: *mut Vchan) -> c_int;
    fn libxenvchan_is_open(vchan: *mut Vchan) -> c_int;
    fn libxenvchan_close(vchan: *mut Vchan);
    fn xs_open(flags: usize) -> *mut Store;
    fn xs_watch(store: *mut Store, path: *const c_char, token: *const c_char) -> bool;
    fn xs_fileno(store: *mut Store) -> c_int;
    fn xs_read_watch(store: *mut Store, count: *mut u32) -> *mut c_void;
    fn xs_is_domain_introduced(store: *mut Store, domain: u32) -> bool;
    fn poll(fds: *mut PollFd, count: usize, timeout: c_int) -> c_int;
    fn free(memory: *mut c_void);
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
    // SAFETY: any program may.
    let store = unsafe { xs_open(0) };
    // SAFETY: texts that end; a store that is there.
    let is_watched =
        !store.is_null() && unsafe { xs_watch(store, c"@releaseDomain".as_ptr(), c"".as_ptr()) };
    if !is_watched {
        return 4;
    }
    let end = End { vchan, store, domain: domain as u32 };
    let total = end.echo();
    // SAFETY: a format for one number.
    unsafe { printf(c"%lu bytes were sent back\n".as_ptr(), total) };
    0
}

fn number(argument: Option<*const c_char>) -> Option<usize> {
    // SAFETY: arguments are texts that end.
    unsafe { CStr::from_ptr(argument?) }.to_str().ok()?.parse().ok()
}

/// This end of a vchan, and what tells of the other domain. Both are there.
struct End {
    vchan: *mut Vchan,
    store: *mut Store,
    domain: u32,
}

impl End {
    /// Sends back what comes, until the other side is gone. Returns how many bytes that were.
    fn echo(self) -> usize {
        let mut buffer = [0_u8; 1 << 14];
        let mut total = 0;
        loop {
            // Before what there is to be read: what was written before it closed counts.
            // SAFETY: the vchan is there.
            let is_open = unsafe { libxenvchan_is_open(self.vchan) != 0 };
            // SAFETY: as above; the buffer is as long as is said.
            let count = unsafe {
                let ready = usize::try_from(libxenvchan_data_ready(self.vchan)).unwrap_or(0);
                let room = usize::try_from(libxenvchan_buffer_space(self.vchan)).unwrap_or(0);
                let count = ready.min(room).min(buffer.len());
                if count > 0 {
                    libxenvchan_read(self.vchan, buffer.as_mut_ptr().cast(), count);
                    libxenvchan_write(self.vchan, buffer.as_ptr().cast(), count);
                }
                count
            };
            total += count;
            if count == 0 && (!is_open || !self.wait()) {
                break;
            }
        }
        // SAFETY: nobody uses it afterwards.
        unsafe { libxenvchan_close(self.vchan) };
        total
    }

    /// Waits until something happens. Returns whether the other domain is there.
    fn wait(&self) -> bool {
        // SAFETY: both are there; the array is as long as is said.
        unsafe {
            let fds = [libxenvchan_fd_for_select(self.vchan), xs_fileno(self.store)];
            let mut fds = fds.map(|fd| PollFd { fd, events: POLLIN, revents: 0 });
            poll(fds.as_mut_ptr(), fds.len(), -1);
            if fds[0].revents != 0 {
                libxenvchan_wait(self.vchan);
            }
            if fds[1].revents != 0 {
                free(xs_read_watch(self.store, &mut 0));
                if !xs_is_domain_introduced(self.store, self.domain) {
                    printf(c"the domain is gone, ".as_ptr());
                    return false;
                }
            }
            true
        }
    }
}
