//! The back end of a console beside the first, which QEMU is for people who have its package:
//! `console-end DOMAIN RING-REF PORT`. Its other end is a pseudo-terminal, whose name it prints. It
//! works until it is killed.

use std::error::Error;
use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::process::ExitCode;
use std::sync::atomic::{AtomicU8, AtomicU32, Ordering};

use backends::xen::{Channel, Page};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::{Mode, OFlags, fcntl_setfl, open};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{OptionalActions, tcgetattr, tcsetattr};

/// The rings of `struct xencons_interface` (xen/include/public/io/console.h): offset and size of what
/// goes to the guest, and of what comes from it, and the offset of the indices of each, that of the
/// consumer and after it that of the producer.
const IN: Ring = Ring { start: 0, size: 0x400, indices: 0xc00 };
const OUT: Ring = Ring { start: 0x400, size: 0x800, indices: 0xc08 };

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match run(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("console-end: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &[String]) -> Result<(), Box<dyn Error>> {
    let [domain, reference, port] = arguments else {
        return Err("what it needs: DOMAIN RING-REF PORT".into());
    };
    let domain = domain.parse()?;
    let page = Page::map(domain, reference.parse()?)?;
    let channel = Channel::bind(domain, port.parse()?)?;
    let (terminal, _stays_open) = terminal()?;
    Ok(End { page, channel, terminal }.work()?)
}

/// A pseudo-terminal that passes on bytes as they are, and its other end, which stays open: a terminal
/// that nobody has open is at its end. Prints its name.
fn terminal() -> io::Result<(File, File)> {
    let terminal = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY)?;
    grantpt(&terminal)?;
    unlockpt(&terminal)?;
    let name = ptsname(&terminal, Vec::new())?;
    let other = open(&name, OFlags::RDWR | OFlags::NOCTTY, Mode::empty())?;
    let mut settings = tcgetattr(&other)?;
    settings.make_raw();
    tcsetattr(&other, OptionalActions::Now, &settings)?;
    fcntl_setfl(&terminal, OFlags::NONBLOCK)?;
    println!("{}", OsStr::from_bytes(name.as_bytes()).display());
    Ok((terminal.into(), other.into()))
}

/// Where a ring is on the page.
struct Ring {
    start: usize,
    size: usize,
    indices: usize,
}

impl Ring {
    fn byte<'a>(&self, page: &'a Page, index: u32) -> &'a AtomicU8 {
        &page.bytes()[self.start + index as usize % self.size]
    }

    fn consumer<'a>(&self, page: &'a Page) -> &'a AtomicU32 {
        page.word(self.indices)
    }

    fn producer<'a>(&self, page: &'a Page) -> &'a AtomicU32 {
        page.word(self.indices + 4)
    }

    /// Bytes in it.
    fn used(&self, page: &Page) -> usize {
        let producer = self.producer(page).load(Ordering::Acquire);
        let used = producer.wrapping_sub(self.consumer(page).load(Ordering::Acquire));
        self.size.min(used as usize)
    }
}

/// This end of the console.
struct End {
    page: Page,
    channel: Channel,
    terminal: File,
}

impl End {
    /// Passes on what comes, for ever.
    fn work(self) -> io::Result<()> {
        loop {
            if self.take_in()? + self.give_out()? > 0 {
                self.channel.notify();
            } else {
                self.wait()?;
            }
        }
    }

    /// From the terminal to the guest.
    fn take_in(&self) -> io::Result<usize> {
        let mut buffer = [0; IN.size];
        let room = IN.size - IN.used(&self.page);
        let count = moved((&self.terminal).read(&mut buffer[..room]))?;
        let producer = IN.producer(&self.page);
        let start = producer.load(Ordering::Relaxed);
        for (byte, at) in buffer[..count].iter().zip(0..) {
            IN.byte(&self.page, start.wrapping_add(at)).store(*byte, Ordering::Relaxed);
        }
        producer.store(start.wrapping_add(count as u32), Ordering::Release);
        Ok(count)
    }

    /// From the guest to the terminal.
    fn give_out(&self) -> io::Result<usize> {
        let mut buffer = [0; OUT.size];
        let consumer = OUT.consumer(&self.page);
        let start = consumer.load(Ordering::Relaxed);
        let available = &mut buffer[..OUT.used(&self.page)];
        for (byte, at) in available.iter_mut().zip(0..) {
            *byte = OUT.byte(&self.page, start.wrapping_add(at)).load(Ordering::Relaxed);
        }
        if available.is_empty() {
            return Ok(0);
        }
        let count = moved((&self.terminal).write(available))?;
        consumer.store(start.wrapping_add(count as u32), Ordering::Release);
        Ok(count)
    }

    /// Waits until something happens.
    fn wait(&self) -> io::Result<()> {
        let mut wanted = PollFlags::empty();
        wanted.set(PollFlags::IN, IN.used(&self.page) < IN.size);
        wanted.set(PollFlags::OUT, OUT.used(&self.page) > 0);
        let mut fds =
            [PollFd::new(&self.channel, PollFlags::IN), PollFd::new(&self.terminal, wanted)];
        poll(&mut fds, None)?;
        if fds[0].revents().is_empty() { Ok(()) } else { self.channel.take() }
    }
}

/// How many bytes were moved: none, if there are none to be moved or no room for them.
fn moved(result: io::Result<usize>) -> io::Result<usize> {
    match result {
        Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(0),
        other => other,
    }
}
