//! A program for dom0: the back end of a console beside the first, which QEMU is for people who have
//! its package. Its other end is a pseudo-terminal, whose name it prints.
//!
//! ```text
//! console-end DOMAIN RING-REF PORT
//! ```
//!
//! Linked as `vchan_echo.rs` is, with Xen's libraries for grants and event channels. It works until
//! it is killed.
#![no_std]
#![no_main]

use core::ffi::{CStr, c_char, c_int, c_void};
use core::panic::PanicInfo;
use core::sync::atomic::{AtomicU8, AtomicU32, Ordering};
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

/// `struct pollfd` of poll(2).
#[repr(C)]
struct PollFd {
    fd: c_int,
    events: i16,
    revents: i16,
}

const POLLIN: i16 = 1;
const POLLOUT: i16 = 4;
/// Of open(2), fcntl(2) and mmap(2).
const O_RDWR: c_int = 2;
const O_NOCTTY: c_int = 0o400;
const O_NONBLOCK: c_int = 0o4000;
const F_SETFL: c_int = 4;
const READ_AND_WRITE: c_int = 3;

unsafe extern "C" {
    fn xengnttab_open(logger: *mut c_void, flags: u32) -> *mut c_void;
    fn xengnttab_map_grant_ref(
        handle: *mut c_void,
        domain: u32,
        reference: u32,
        protection: c_int,
    ) -> *mut c_void;
    fn xenevtchn_open(logger: *mut c_void, flags: u32) -> *mut c_void;
    fn xenevtchn_fd(handle: *mut c_void) -> c_int;
    fn xenevtchn_bind_interdomain(handle: *mut c_void, domain: u32, port: u32) -> c_int;
    fn xenevtchn_notify(handle: *mut c_void, port: u32) -> c_int;
    fn xenevtchn_pending(handle: *mut c_void) -> c_int;
    fn xenevtchn_unmask(handle: *mut c_void, port: u32) -> c_int;
    fn posix_openpt(flags: c_int) -> c_int;
    fn grantpt(fd: c_int) -> c_int;
    fn unlockpt(fd: c_int) -> c_int;
    fn ptsname(fd: c_int) -> *const c_char;
    fn open(path: *const c_char, flags: c_int) -> c_int;
    fn fcntl(fd: c_int, command: c_int, ...) -> c_int;
    fn tcgetattr(fd: c_int, termios: *mut c_void) -> c_int;
    fn cfmakeraw(termios: *mut c_void);
    fn tcsetattr(fd: c_int, when: c_int, termios: *const c_void) -> c_int;
    fn poll(fds: *mut PollFd, count: usize, timeout: c_int) -> c_int;
    fn read(fd: c_int, data: *mut c_void, size: usize) -> isize;
    fn write(fd: c_int, data: *const c_void, size: usize) -> isize;
    fn puts(text: *const c_char) -> c_int;
    fn fflush(file: *mut c_void) -> c_int;
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
    let argument = |index: usize| number(arguments.get(index).copied());
    let (Some(domain), Some(reference), Some(port)) = (argument(1), argument(2), argument(3))
    else {
        return 2;
    };
    let Some(terminal) = terminal() else { return 3 };
    // SAFETY: the libraries' handles, which stay.
    let end = unsafe {
        let grants = xengnttab_open(ptr::null_mut(), 0);
        let page = xengnttab_map_grant_ref(grants, domain, reference, READ_AND_WRITE);
        let events = xenevtchn_open(ptr::null_mut(), 0);
        let port = xenevtchn_bind_interdomain(events, domain, port);
        let Ok(port) = u32::try_from(port) else { return 4 };
        if page.is_null() || events.is_null() {
            return 5;
        }
        End { page: page.cast(), events, port, terminal }
    };
    end.work()
}

fn number(argument: Option<*const c_char>) -> Option<u32> {
    // SAFETY: arguments are texts that end.
    unsafe { CStr::from_ptr(argument?) }.to_str().ok()?.parse().ok()
}

/// A pseudo-terminal that passes on bytes as they are. Prints its name.
fn terminal() -> Option<c_int> {
    // More than `struct termios` has on any machine.
    let mut settings = [0_u64; 32];
    let settings = settings.as_mut_ptr().cast();
    // SAFETY: the file is open, and the name stays until the next call.
    unsafe {
        let terminal = posix_openpt(O_RDWR | O_NOCTTY);
        if terminal < 0 || grantpt(terminal) != 0 || unlockpt(terminal) != 0 {
            return None;
        }
        let name = ptsname(terminal);
        // It stays open, because a terminal that nobody has open is at its end.
        let other = open(name, O_RDWR | O_NOCTTY);
        tcgetattr(other, settings);
        cfmakeraw(settings);
        tcsetattr(other, 0, settings);
        fcntl(terminal, F_SETFL, O_NONBLOCK);
        puts(name);
        fflush(ptr::null_mut());
        Some(terminal)
    }
}

/// This end of the console. The page is mapped for ever.
struct End {
    page: *mut u8,
    events: *mut c_void,
    port: u32,
    terminal: c_int,
}

impl End {
    fn byte(&self, offset: usize) -> &AtomicU8 {
        // SAFETY: within the page, see the callers.
        unsafe { &*self.page.add(offset).cast() }
    }

    fn index(&self, number: usize) -> &AtomicU32 {
        // SAFETY: within the page, where the indices are.
        unsafe { &*self.page.add(0xc00 + 4 * number).cast() }
    }

    /// Passes on what comes, for ever.
    fn work(self) -> c_int {
        loop {
            let moved = self.take_in() + self.give_out();
            if moved > 0 {
                // SAFETY: the handle is open.
                unsafe { xenevtchn_notify(self.events, self.port) };
            } else if !self.wait() {
                return 6;
            }
        }
    }

    /// From the terminal to the guest.
    fn take_in(&self) -> usize {
        let (consumer, producer) = (self.index(0), self.index(1));
        let start = producer.load(Ordering::Relaxed);
        let used = start.wrapping_sub(consumer.load(Ordering::Acquire)) as usize;
        let mut buffer = [0_u8; 0x400];
        let room = 0x400_usize.saturating_sub(used);
        // SAFETY: the buffer is that long.
        let count = match room {
            0 => 0,
            _ => unsafe { read(self.terminal, buffer.as_mut_ptr().cast(), room) },
        };
        let count = usize::try_from(count).unwrap_or(0);
        for (byte, at) in buffer.iter().take(count).zip(0..) {
            self.byte(start.wrapping_add(at) as usize % 0x400).store(*byte, Ordering::Relaxed);
        }
        producer.store(start.wrapping_add(count as u32), Ordering::Release);
        count
    }

    /// From the guest to the terminal.
    fn give_out(&self) -> usize {
        let (consumer, producer) = (self.index(2), self.index(3));
        let start = consumer.load(Ordering::Relaxed);
        let available = producer.load(Ordering::Acquire).wrapping_sub(start).min(0x800) as usize;
        let mut buffer = [0_u8; 0x800];
        for (byte, at) in buffer.iter_mut().take(available).zip(0..) {
            let place = 0x400 + start.wrapping_add(at) as usize % 0x800;
            *byte = self.byte(place).load(Ordering::Relaxed);
        }
        // SAFETY: the buffer is that long.
        let count = match available {
            0 => 0,
            _ => unsafe { write(self.terminal, buffer.as_ptr().cast(), available) },
        };
        let count = usize::try_from(count).unwrap_or(0);
        consumer.store(start.wrapping_add(count as u32), Ordering::Release);
        count
    }

    /// Waits until something happens. Returns false if that cannot be.
    fn wait(&self) -> bool {
        let used = |consumer, producer| {
            let [consumer, producer] = [consumer, producer].map(|at| self.index(at));
            producer.load(Ordering::Acquire).wrapping_sub(consumer.load(Ordering::Acquire))
        };
        let wanted = if used(0, 1) < 0x400 { POLLIN } else { 0 };
        let wanted = wanted | if used(2, 3) > 0 { POLLOUT } else { 0 };
        // SAFETY: the handle is open; the array is as long as is said.
        unsafe {
            let events = PollFd { fd: xenevtchn_fd(self.events), events: POLLIN, revents: 0 };
            let terminal = PollFd { fd: self.terminal, events: wanted, revents: 0 };
            let mut fds = [events, terminal];
            if poll(fds.as_mut_ptr(), fds.len(), -1) < 0 {
                return false;
            }
            if fds[0].revents != 0 {
                let port = xenevtchn_pending(self.events);
                let Ok(port) = u32::try_from(port) else { return false };
                xenevtchn_unmask(self.events, port);
            }
        }
        true
    }
}
