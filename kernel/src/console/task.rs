//! The task between the buffers and the console devices.
//!
//! Every device shows all output, at the pace of the slowest; what is typed at any of them is
//! input.

use alloc::{boxed::Box, vec::Vec};
use core::{
    cell::{Cell, RefCell},
    task::{Context, Poll},
};

use mayfly_device::ConsoleDevice;

use super::{INPUT, READER, output::SharedOutput};
use crate::executor::{self, Awaiting};

/// Bytes that are moved at a time.
const CHUNK: usize = 64;

/// Most chunks of input that are moved before other tasks get their turn.
const MAX_CHUNKS: usize = 8;

/// A device and how much of the next output it has shown.
pub(super) struct Port {
    device: Box<dyn ConsoleDevice>,
    shown: usize,
}

/// The consoles. Not in the task, because who writes more than fits the buffer shows the rest at
/// once, as far as the devices take it.
pub(super) type Ports = RefCell<Vec<Port>>;

/// See [`read`].
pub(super) type Reader = fn(&mut [Port], &mut Context<'_>) -> Poll<()>;

/// The consoles on `devices`.
pub(super) fn ports(devices: Vec<Box<dyn ConsoleDevice>>) -> impl Iterator<Item = Port> {
    devices.into_iter().map(|device| Port { device, shown: 0 })
}

/// One turn of the task that moves text; it never ends.
pub(super) fn poll(ports: &Ports, output: &SharedOutput, cx: &mut Context<'_>) -> Poll<()> {
    let mut ports = ports.borrow_mut();
    for _ in 0..MAX_CHUNKS {
        let reader = READER.with(Cell::get);
        let read = reader.map_or(Poll::Pending, |read| read(&mut ports, cx));
        let written = write(&mut ports, output, cx);
        if read.is_pending() && written.is_pending() {
            executor::describe(Awaiting::new("console text", 0));
            return Poll::Pending;
        }
    }
    cx.waker().wake_by_ref();
    Poll::Pending
}

/// Shows output until `count` bytes fit the buffer, or the devices take no more right now.
pub(super) fn make_room(ports: &Ports, output: &SharedOutput, count: usize) {
    // Whoever holds the consoles already is the task, or a driver that logs while it writes.
    let Ok(mut ports) = ports.try_borrow_mut() else {
        return;
    };
    while output.text.with(|text| text.room()) < count && show(&mut ports, output).moved > 0 {}
}

/// Moves one chunk of input from every device. Pending if none has any, or nobody reads it.
pub(super) fn read(ports: &mut [Port], cx: &mut Context<'_>) -> Poll<()> {
    let mut moved = Poll::Pending;
    for port in ports {
        if !INPUT.with(|input| input.has_room(CHUNK, cx)) {
            return Poll::Pending;
        }
        if port.device.poll_readable(cx).is_pending() {
            continue;
        }
        let mut chunk = [0; CHUNK];
        let count = port.device.read(&mut chunk);
        if let Some(bytes) = chunk.get(..count).filter(|bytes| !bytes.is_empty()) {
            INPUT.with(|input| input.push(bytes));
            moved = Poll::Ready(());
        }
    }
    moved
}

/// Shows one chunk of output on every device. Pending if there is none, or a device is busy.
fn write(ports: &mut [Port], output: &SharedOutput, cx: &mut Context<'_>) -> Poll<()> {
    let mut step = show(ports, output);
    if step.chunk == 0 {
        if output.written.poll(cx).is_pending() {
            return Poll::Pending;
        }
        step = show(ports, output);
    }
    let rest = step.chunk - step.moved;
    let mut all = Poll::Ready(());
    for port in ports {
        if port.shown < rest && port.device.poll_writable(cx).is_pending() {
            all = Poll::Pending;
        }
    }
    all
}

/// What became of a chunk of output.
struct Step {
    /// Its length.
    chunk: usize,
    /// How much of it every device has shown.
    moved: usize,
}

/// Shows as much of the next chunk of output as the devices take right now.
fn show(ports: &mut [Port], output: &SharedOutput) -> Step {
    let mut bytes = [0; CHUNK];
    let chunk = output.text.with(|text| text.peek(&mut bytes));
    for port in &mut *ports {
        if let Some(rest) = bytes.get(port.shown..chunk).filter(|rest| !rest.is_empty()) {
            port.shown += port.device.write(rest);
        }
    }
    let moved = ports.iter().map(|port| port.shown).min().unwrap_or(chunk);
    output.text.with(|text| text.advance(moved));
    ports.iter_mut().for_each(|port| port.shown -= moved);
    Step { chunk, moved }
}

#[cfg(test)]
mod tests {
    use alloc::{collections::VecDeque, rc::Rc};
    use core::{future::poll_fn, time::Duration};

    use super::*;
    use crate::{console, time};

    /// A device that shows some bytes at a time and wakes nobody: the test's clock does.
    #[derive(Default)]
    struct Slow {
        shown: Rc<RefCell<Vec<u8>>>,
        typed: VecDeque<u8>,
        busy: bool,
    }

    impl ConsoleDevice for Slow {
        fn read(&mut self, buffer: &mut [u8]) -> usize {
            let mut count = 0;
            for (slot, byte) in buffer.iter_mut().zip(self.typed.drain(..)) {
                *slot = byte;
                count += 1;
            }
            count
        }

        fn poll_readable(&mut self, _: &mut Context<'_>) -> Poll<()> {
            if self.typed.is_empty() { Poll::Pending } else { Poll::Ready(()) }
        }

        fn write(&mut self, bytes: &[u8]) -> usize {
            let count = bytes.len().min(7);
            self.shown.borrow_mut().extend(&bytes[..count]);
            self.busy = true;
            count
        }

        fn poll_writable(&mut self, cx: &mut Context<'_>) -> Poll<()> {
            if core::mem::take(&mut self.busy) {
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            Poll::Ready(())
        }
    }

    #[test]
    fn text_goes_both_ways_at_the_pace_of_the_slowest() {
        mayfly_arch::simulation::start();
        let (first, second) = (Slow::default(), Slow::default());
        let shown = [Rc::clone(&first.shown), Rc::clone(&second.shown)];
        let text = "The quick brown fox jumps over the lazy dog. ".repeat(5);
        let first = Slow { typed: b"hello".iter().copied().collect(), ..first };
        let output: &SharedOutput = Box::leak(Box::new(SharedOutput::new()));
        output.text.with(|text| text.set_buffered(true));
        let line = executor::run(async {
            let ports =
                RefCell::new(ports(alloc::vec![Box::new(first), Box::new(second)]).collect());
            executor::spawn(poll_fn(move |cx| poll(&ports, output, cx))).detach();
            output.push(text.as_bytes());
            let mut line = [0; 10];
            let count = console::read(&mut line).await;
            output.push(b"Mayfly");
            time::sleep(Duration::from_secs(1)).await;
            line[..count].to_vec()
        });
        assert_eq!(line, b"hello");
        for shown in shown {
            let shown = shown.borrow();
            assert_eq!(core::str::from_utf8(&shown).unwrap(), alloc::format!("{text}Mayfly"));
        }
    }

    #[test]
    fn text_that_does_not_fit_is_shown_at_once() {
        let device = Slow::default();
        let shown = Rc::clone(&device.shown);
        let ports = RefCell::new(ports(alloc::vec![Box::new(device)]).collect());
        let output = SharedOutput::new();
        output.text.with(|text| text.set_buffered(true));
        output.push(&[b'x'; 4096]);
        make_room(&ports, &output, 100);
        output.push(&[b'y'; 100]);
        assert!(shown.borrow().len() >= 100);
        assert_eq!(output.text.with(|text| text.dropped()), 0);
    }
}
