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

mod libraries;
mod start;

use core::ffi::{CStr, c_char, c_int};
use core::panic::PanicInfo;
use core::{ptr, slice};

use libraries::*;

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
    let [role, path] = [role, path].map(|text| unsafe { CStr::from_ptr(text) });
    let is_server = role.to_bytes() == b"server";
    let vchan = match (is_server, number(argument(4)), number(argument(5))) {
        (true, Some(left), Some(right)) => serve(domain, path, left, right),
        _ => connect(domain, path),
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

/// The server's side of a vchan. Null if there is none to be had.
fn serve(domain: usize, path: &CStr, left: usize, right: usize) -> *mut Vchan {
    // SAFETY: a text that ends; nobody need log.
    unsafe { libxenvchan_server_init(ptr::null_mut(), domain as c_int, path.as_ptr(), left, right) }
}

/// The client's side of a vchan, once there is a server.
fn connect(domain: usize, path: &CStr) -> *mut Vchan {
    loop {
        // SAFETY: as in `serve`.
        let vchan =
            unsafe { libxenvchan_client_init(ptr::null_mut(), domain as c_int, path.as_ptr()) };
        if !vchan.is_null() {
            return vchan;
        }
        // SAFETY: any program may.
        unsafe { usleep(50_000) };
    }
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
