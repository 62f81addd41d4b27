//! Standard input and output.

use std::{
    io::{self, IsTerminal},
    os::fd::AsFd,
    task::{Context, Poll},
};

use mayfly_arch::poll::{Interest, Watch};
use mayfly_device::ConsoleDevice;
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    io::{read, write},
};

/// Most bytes of one write. A pipe that is ready takes as much without blocking: see PIPE_BUF in
/// pipe(7).
const PIPE_BUF: usize = 4096;

/// The console of a process. The descriptors stay blocking, because other processes share them;
/// they are asked before each call.
#[derive(Debug)]
pub struct Stdio {
    input: Watch,
    output: Watch,
    input_ended: bool,
    /// Standard input is a terminal. It stays in the mode in which lines are edited and echoed,
    /// because nothing could be relied on to restore it when the process is killed.
    is_terminal: bool,
}

impl Stdio {
    /// Watches standard input and output.
    ///
    /// # Errors
    /// One of them is closed.
    pub fn new() -> io::Result<Self> {
        Ok(Self {
            input: Watch::new(io::stdin().as_fd().try_clone_to_owned()?),
            output: Watch::new(io::stdout().as_fd().try_clone_to_owned()?),
            input_ended: false,
            is_terminal: io::stdin().is_terminal(),
        })
    }
}

/// Whether a descriptor is ready now.
fn is_ready(watch: &Watch, flags: PollFlags) -> bool {
    let mut fds = [PollFd::new(watch, flags)];
    matches!(poll(&mut fds, Some(&Timespec { tv_sec: 0, tv_nsec: 0 })), Ok(1))
}

impl ConsoleDevice for Stdio {
    fn read(&mut self, buffer: &mut [u8]) -> usize {
        if self.input_ended || buffer.is_empty() || !is_ready(&self.input, PollFlags::IN) {
            return 0;
        }
        match read(&self.input, buffer) {
            Ok(count) if count > 0 => count,
            Ok(_) => {
                self.input_ended = true;
                0
            }
            Err(_) => 0,
        }
    }

    fn poll_readable(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.input_ended { Poll::Pending } else { self.input.poll_ready(cx, Interest::Read) }
    }

    fn write(&mut self, bytes: &[u8]) -> usize {
        if !is_ready(&self.output, PollFlags::OUT) {
            return 0;
        }
        // Whoever read the output is gone: nobody misses the bytes.
        let chunk = bytes.get(..PIPE_BUF).unwrap_or(bytes);
        write(&self.output, chunk).unwrap_or(chunk.len())
    }

    fn poll_writable(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.output.poll_ready(cx, Interest::Write)
    }

    fn echoes(&self) -> bool {
        self.is_terminal
    }
}
