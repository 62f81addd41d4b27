//! The task between the buffers and the console devices.
//!
//! Every device shows the output at its own pace, and one that is left behind by more than the
//! buffer, such as a console that nobody reads, misses some; what is typed at any of them is input.

use alloc::vec::Vec;
use core::{
    cell::{Cell, RefCell},
    task::{Context, Poll},
};

use super::{INPUT, READER, output::SharedOutput, port::Port};
use crate::executor::{self, Awaiting};

/// Bytes of input that are moved at a time.
const CHUNK: usize = 64;

/// Most chunks that are moved before other tasks get their turn.
const MAX_CHUNKS: usize = 8;

/// The consoles. Not in the task, because who writes more than fits the buffer shows the rest at
/// once, as far as the devices take it.
pub(super) type Ports = RefCell<Vec<Port>>;

/// See [`read`].
pub(super) type Reader = fn(&mut [Port], &mut Context<'_>) -> Poll<()>;

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

/// Shows output until `count` bytes fit the buffer, or the devices take no more right now. Those
/// that keep others from showing more are left behind then.
pub(super) fn make_room(ports: &Ports, output: &SharedOutput, count: usize) {
    // Whoever holds the consoles already is the task, or a driver that logs while it writes.
    let Ok(mut ports) = ports.try_borrow_mut() else {
        return;
    };
    let is_full = || output.text.with(|text| text.room()) < count;
    while is_full() && show(&mut ports, output) > 0 {}
    if is_full() {
        leave_behind(&mut ports, output);
    }
}

/// Has all devices go on where the first of them is.
fn leave_behind(ports: &mut [Port], output: &SharedOutput) {
    let Some(foremost) = ports.iter().map(|port| port.place().shown).max() else { return };
    let missed = ports.iter_mut().map(|port| port.skip_to(foremost)).sum();
    output.text.with(|text| text.count_dropped(missed));
    release(ports, output);
}

/// Forgets what all devices have shown.
fn release(ports: &[Port], output: &SharedOutput) {
    let oldest = ports.iter().map(|port| port.place().shown).min();
    if let (Some(oldest), Some(first)) = (oldest, ports.first()) {
        output.text.with(|text| text.release(oldest, first.place()));
    }
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

/// Shows one chunk of output on every device. Pending if each has shown all, or is busy.
fn write(ports: &mut [Port], output: &SharedOutput, cx: &mut Context<'_>) -> Poll<()> {
    if show(ports, output) > 0 {
        return Poll::Ready(());
    }
    let mut any = output.written.poll(cx);
    let end = output.text.with(|text| text.end());
    for port in ports {
        if port.is_behind(end) && port.device.poll_writable(cx).is_ready() {
            any = Poll::Ready(());
        }
    }
    any
}

/// Shows as much of the next chunk of output as the devices take right now; how much that is for
/// all of them together.
fn show(ports: &mut [Port], output: &SharedOutput) -> usize {
    if let Some(first) = ports.first_mut() {
        // The last words of a task that has panicked.
        first.was_shown(output.text.with(|text| text.polled()));
    }
    let moved = ports.iter_mut().map(|port| port.show(output)).sum();
    release(ports, output);
    moved
}

#[cfg(test)]
mod tests {
    use alloc::{boxed::Box, collections::VecDeque, rc::Rc};
    use core::{future::poll_fn, time::Duration};

    use mayfly_device::ConsoleDevice;

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

    fn ports(devices: Vec<Box<dyn ConsoleDevice>>, output: &SharedOutput) -> Ports {
        RefCell::new(devices.into_iter().map(|device| Port::new(device, output)).collect())
    }

    #[test]
    fn text_goes_both_ways() {
        mayfly_arch::simulation::start();
        let (first, second) = (Slow::default(), Slow::default());
        let shown = [Rc::clone(&first.shown), Rc::clone(&second.shown)];
        let text = "The quick brown fox jumps over the lazy dog. ".repeat(5);
        let first = Slow { typed: b"hello".iter().copied().collect(), ..first };
        let output: &SharedOutput = Box::leak(Box::new(SharedOutput::new()));
        output.text.with(|text| text.set_buffered(true));
        let line = executor::run(async {
            let ports = ports(alloc::vec![Box::new(first), Box::new(second)], output);
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

    /// A device that takes nothing for a while.
    #[derive(Default)]
    struct Stuck {
        shown: Rc<RefCell<Vec<u8>>>,
        is_free: Rc<Cell<bool>>,
    }

    impl ConsoleDevice for Stuck {
        fn read(&mut self, _: &mut [u8]) -> usize {
            0
        }

        fn poll_readable(&mut self, _: &mut Context<'_>) -> Poll<()> {
            Poll::Pending
        }

        fn write(&mut self, bytes: &[u8]) -> usize {
            if !self.is_free.get() {
                return 0;
            }
            let count = bytes.len().min(5);
            self.shown.borrow_mut().extend(&bytes[..count]);
            count
        }

        fn poll_writable(&mut self, _: &mut Context<'_>) -> Poll<()> {
            if self.is_free.get() { Poll::Ready(()) } else { Poll::Pending }
        }
    }

    #[test]
    fn a_stuck_device_keeps_no_other_from_showing_all() {
        mayfly_arch::simulation::start();
        let (slow, stuck) = (Slow::default(), Stuck::default());
        let (all, rest) = (Rc::clone(&slow.shown), Rc::clone(&stuck.shown));
        let is_free = Rc::clone(&stuck.is_free);
        let output: &SharedOutput = Box::leak(Box::new(SharedOutput::new()));
        output.text.with(|text| text.set_buffered(true));
        let mut expected = Vec::new();
        let written = &mut expected;
        executor::run(async move {
            let devices: Vec<Box<dyn ConsoleDevice>> = alloc::vec![Box::new(stuck), Box::new(slow)];
            let ports: &Ports = Box::leak(Box::new(ports(devices, output)));
            executor::spawn(poll_fn(|cx| poll(ports, output, cx))).detach();
            for line in 0..1000 {
                let line = alloc::format!("line {line}\n");
                make_room(ports, output, line.len());
                output.push(line.as_bytes());
                written.extend(line.as_bytes());
                // The other device has shown it all long before it is waited for.
                time::sleep(Duration::from_millis(1)).await;
            }
            is_free.set(true);
            output.push(b"the end\n");
            written.extend(b"the end\n");
            time::sleep(Duration::from_secs(1)).await;
        });
        assert!(*all.borrow() == expected);
        let rest = rest.borrow();
        let note = b" bytes of output dropped]\n";
        let at = rest.windows(note.len()).position(|part| part == note).unwrap();
        let count: usize = core::str::from_utf8(&rest[2..at]).unwrap().parse().unwrap();
        assert!(rest[at + note.len()..] == expected[count..]);
        assert_eq!(output.text.with(|text| text.dropped()), count as u64);
    }

    #[test]
    fn what_was_shown_by_polling_is_not_shown_again() {
        let (first, second) = (Slow::default(), Slow::default());
        let shown = [Rc::clone(&first.shown), Rc::clone(&second.shown)];
        let output = SharedOutput::new();
        let ports = ports(alloc::vec![Box::new(first), Box::new(second)], &output);
        output.text.with(|text| text.set_buffered(true));
        output.push(b"It panicked. ");
        assert_eq!(output.text.with(|text| text.pop(&mut [0; 100])), 13);
        output.push(b"It goes on.");
        while show(&mut ports.borrow_mut(), &output) > 0 {}
        assert_eq!(*shown[0].borrow(), b"It goes on.");
        assert_eq!(*shown[1].borrow(), b"It panicked. It goes on.");
    }

    #[test]
    fn text_that_does_not_fit_is_shown_at_once() {
        let device = Slow::default();
        let shown = Rc::clone(&device.shown);
        let output = SharedOutput::new();
        let ports = ports(alloc::vec![Box::new(device)], &output);
        output.text.with(|text| text.set_buffered(true));
        output.push(&[b'x'; 4096]);
        make_room(&ports, &output, 100);
        output.push(&[b'y'; 100]);
        assert!(shown.borrow().len() >= 100);
        assert_eq!(output.text.with(|text| text.dropped()), 0);
    }
}
