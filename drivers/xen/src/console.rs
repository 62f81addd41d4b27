//! The console that every guest of Xen has (xen/include/public/io/console.h).
//!
//! ```text
//!   0x000   in:  1024 bytes, what is typed     in_cons at 0xc00, in_prod at 0xc04
//!   0x400   out: 2048 bytes, what is printed   out_cons at 0xc08, out_prod at 0xc0c
//! ```
//!
//! xenconsoled in dom0 is at the other end, as a rule; it may be late, slow or dead. One event
//! channel serves both directions.

#[cfg(any(test, feature = "fake"))]
pub(crate) mod fuzz;
#[cfg(test)]
mod tests;

use alloc::boxed::Box;
use core::{
    fmt::Write,
    task::{Context, Poll},
};

use mayfly_arch::{IrqLock, clock};
use mayfly_device::{ConsoleDevice, InterruptHandler, Signal};
use spin::Once;

use crate::{
    byte_ring::{BadIndex, Consumer, Producer},
    events::{EventChannels, Port},
    hypercalls,
    incarnation::Incarnation,
    shared_page::SharedPage,
};

/// How long polled output waits for room, in nanoseconds, before the rest is dropped.
const PATIENCE: u64 = 500_000_000;

/// Bytes of polled output that are written at once.
const PART: usize = 128;

/// Room for what is said about bytes that were dropped.
const NOTE: usize = 64;

/// What is printed, for the console's task and for polled output.
static OUTPUT: Once<IrqLock<Output>> = Once::new();

/// The way out.
struct Output {
    page: SharedPage,
    ring: Producer<'static>,
    port: Port,
    /// Nobody took anything for too long, so polled output does not wait again.
    is_stuck: bool,
    /// Bytes of polled output that were dropped then, and nobody has been told of.
    lost: usize,
}

/// The console of this page and event channel. There is one.
pub(crate) struct Console {
    page: SharedPage,
    port: Port,
    output: &'static IrqLock<Output>,
}

/// The console has another event channel, as the guest is in another domain, and its rings begin
/// anew.
pub(crate) fn resume(port: Port, events: &EventChannels) {
    let Some(output) = OUTPUT.get() else { return };
    output.with(|way| {
        *way = Output { lost: way.lost, ..Output::new(way.page, port) };
    });
    if !events.listen(port, &LINE) {
        log::error!("no memory is left to hear of the console");
    }
}

impl Console {
    /// Takes the console into use for polled output.
    pub(crate) fn new(page: SharedPage, port: Port) -> Self {
        let output = OUTPUT.call_once(|| IrqLock::new(Output::new(page, port)));
        mayfly_arch::console::use_writer(write_polled);
        Self { page, port, output }
    }

    /// Starts the driver, which is told of events. `None` if there is no memory for that.
    pub(crate) fn start(&self, events: &EventChannels) -> Option<Box<dyn ConsoleDevice>> {
        let (page, output) = (self.page, self.output);
        let (input, incarnation) = (input(page), Incarnation::current());
        let driver = Driver { page, input, incarnation, output, is_broken: false };
        events.listen(self.port, &LINE).then(|| Box::new(driver) as _)
    }
}

/// The two rings of a page.
fn input(page: SharedPage) -> Consumer<'static> {
    Consumer::new(&page.bytes()[..0x400], page.word(0xc00), page.word(0xc04))
}

fn output(page: SharedPage) -> Producer<'static> {
    Producer::new(&page.bytes()[0x400..0xc00], page.word(0xc08), page.word(0xc0c))
}

/// From the event channel to the task.
struct Line(Signal);

static LINE: Line = Line(Signal::new());

impl InterruptHandler for Line {
    fn interrupt(&self) {
        self.0.raise();
    }
}

/// Tells the other side that something was written or read.
fn tell(port: Port) {
    // The channel is there as long as the guest, and there is nobody to tell of an error.
    let _ = hypercalls::send(port.number());
}

/// Writes all of `bytes`. Waits a while for room, and drops the rest then.
///
/// Reports of faults may lead to memory that cannot be read, and a word about that is printed as well.
/// So what is printed is read before the ring is taken.
fn write_polled(bytes: &[u8]) {
    let Some(output) = OUTPUT.get() else { return };
    for part in bytes.chunks(PART) {
        let mut copy = [0; PART];
        let copy = copy.get_mut(..part.len()).unwrap_or_default();
        copy.copy_from_slice(part);
        // Taken when the report of a fault in here is written, which is lost then.
        let _ = output.try_with(|output| output.write_all(copy));
    }
}

impl Output {
    fn new(page: SharedPage, port: Port) -> Self {
        Self { page, ring: output(page), port, is_stuck: false, lost: 0 }
    }

    /// Writes what there is room for, a line break as carriage return and line feed, and tells the
    /// other side. Returns how many of `bytes` that were.
    fn write(&mut self, bytes: &[u8]) -> Result<usize, BadIndex> {
        let mut done = 0;
        for line in bytes.split_inclusive(|&byte| byte == b'\n') {
            let text = line.strip_suffix(b"\n").unwrap_or(line);
            let written = self.ring.write(text)?;
            done += written;
            if written < text.len() || (line.len() > written && self.ring.room()? < 2) {
                break;
            }
            if line.len() > written {
                self.ring.write(b"\r\n")?;
                done += 1;
            }
        }
        if done > 0 {
            tell(self.port);
        }
        Ok(done)
    }

    /// Writes all, and waits for room if somebody takes something. Drops the rest otherwise.
    fn write_all(&mut self, mut bytes: &[u8]) {
        self.tell_of_loss();
        if self.lost > 0 && self.is_stuck {
            // Not behind what was cut off.
            self.lost = self.lost.saturating_add(bytes.len());
            return;
        }
        let start = clock::now();
        while !bytes.is_empty() {
            let Ok(count) = self.write(bytes) else { return };
            bytes = bytes.get(count..).unwrap_or_default();
            if count > 0 {
                self.is_stuck = false;
            } else if self.is_stuck {
                self.lost = self.lost.saturating_add(bytes.len());
                return;
            } else {
                hypercalls::yield_now();
                self.is_stuck = clock::now().saturating_sub(start) > PATIENCE;
            }
        }
    }

    /// Says how much was dropped, as soon as there is room for that.
    fn tell_of_loss(&mut self) {
        if self.lost == 0 || self.ring.room().is_ok_and(|room| room < NOTE) {
            return;
        }
        let mut note = heapless::String::<NOTE>::new();
        // It is long enough for any number.
        let _ = write!(note, "\n[{} bytes of output dropped]\n", self.lost);
        self.lost = 0;
        // A ring that is damaged takes nothing any more.
        let _ = self.write(note.as_bytes());
    }
}

/// The console's driver.
struct Driver {
    page: SharedPage,
    input: Consumer<'static>,
    /// In which the ring of the input began.
    incarnation: Incarnation,
    output: &'static IrqLock<Output>,
    /// The other side broke the protocol.
    is_broken: bool,
}

impl Driver {
    /// Whether there is a ring to be used. In another domain, both begin anew, with another other
    /// end.
    fn is_usable(&mut self) -> bool {
        if self.incarnation.is_over() {
            self.incarnation = Incarnation::current();
            self.input = input(self.page);
            self.is_broken = false;
        }
        !self.is_broken
    }

    /// What came of `result`; nothing, if the other side broke the protocol.
    fn count(&mut self, result: Result<usize, BadIndex>) -> usize {
        result.unwrap_or_else(|BadIndex| {
            if !self.is_broken {
                self.is_broken = true;
                log::error!("the console's ring is damaged by its other end, and no longer used");
            }
            0
        })
    }
}

impl ConsoleDevice for Driver {
    fn read(&mut self, buffer: &mut [u8]) -> usize {
        if !self.is_usable() {
            return 0;
        }
        let result = self.input.read(buffer);
        let count = self.count(result);
        if count > 0 {
            tell(self.output.with(|output| output.port));
        }
        count
    }

    fn poll_readable(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        LINE.0.watch(cx);
        // Nothing is read from a ring that is damaged, whatever it says.
        if !self.is_usable() {
            return Poll::Pending;
        }
        let result = self.input.available();
        if self.count(result) > 0 { Poll::Ready(()) } else { Poll::Pending }
    }

    fn write(&mut self, bytes: &[u8]) -> usize {
        if !self.is_usable() {
            // As if it was printed: nobody will ever take it.
            return bytes.len();
        }
        let result = self.output.with(|output| {
            output.tell_of_loss();
            output.write(bytes)
        });
        self.count(result)
    }

    fn poll_writable(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        LINE.0.watch(cx);
        if !self.is_usable() {
            return Poll::Ready(());
        }
        let result = self.output.with(|output| output.ring.room());
        // A line break takes two.
        if self.count(result) >= 2 || self.is_broken { Poll::Ready(()) } else { Poll::Pending }
    }
}
