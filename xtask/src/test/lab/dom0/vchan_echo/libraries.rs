//! What is used of libxenvchan, libxenstore and the C library: libxenvchan.h, xenstore.h, poll.h.

use core::ffi::{c_char, c_int, c_void};

/// `struct libxenvchan` and `struct xs_handle`, which are the libraries' own business.
pub type Vchan = c_void;
pub type Store = c_void;

/// `struct pollfd` of poll(2).
#[repr(C)]
pub struct PollFd {
    pub fd: c_int,
    pub events: i16,
    pub revents: i16,
}

pub const POLLIN: i16 = 1;

unsafe extern "C" {
    pub fn libxenvchan_server_init(
        logger: *mut c_void,
        domain: c_int,
        path: *const c_char,
        left: usize,
        right: usize,
    ) -> *mut Vchan;
    pub fn libxenvchan_client_init(
        logger: *mut c_void,
        domain: c_int,
        path: *const c_char,
    ) -> *mut Vchan;
    pub fn libxenvchan_read(vchan: *mut Vchan, data: *mut c_void, size: usize) -> c_int;
    pub fn libxenvchan_write(vchan: *mut Vchan, data: *const c_void, size: usize) -> c_int;
    pub fn libxenvchan_data_ready(vchan: *mut Vchan) -> c_int;
    pub fn libxenvchan_buffer_space(vchan: *mut Vchan) -> c_int;
    pub fn libxenvchan_fd_for_select(vchan: *mut Vchan) -> c_int;
    pub fn libxenvchan_wait(vchan: *mut Vchan) -> c_int;
    pub fn libxenvchan_is_open(vchan: *mut Vchan) -> c_int;
    pub fn libxenvchan_close(vchan: *mut Vchan);
    pub fn xs_open(flags: usize) -> *mut Store;
    pub fn xs_watch(store: *mut Store, path: *const c_char, token: *const c_char) -> bool;
    pub fn xs_fileno(store: *mut Store) -> c_int;
    pub fn xs_read_watch(store: *mut Store, count: *mut u32) -> *mut c_void;
    pub fn xs_is_domain_introduced(store: *mut Store, domain: u32) -> bool;
    pub fn poll(fds: *mut PollFd, count: usize, timeout: c_int) -> c_int;
    pub fn free(memory: *mut c_void);
    pub fn printf(format: *const c_char, ...) -> c_int;
    pub fn usleep(microseconds: u32) -> c_int;
    pub fn abort() -> !;
}
