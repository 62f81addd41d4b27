//! The task between the buffers and the console devices.
//!
//! Every device shows all output, at the pace of the slowest; what is typed at any of them is
//! input.

use alloc::{boxed::Box, vec::Vec};
use core::{
    future::poll_fn,
    task::{Context, Poll},
};

use mayfly_device::ConsoleDevice;

use super::{INPUT, output::SharedOutput};
use crate::executor::{self, Awaiting};

/// Bytes that are moved at a time.
const CHUNK: usize = 64;

/// Most chunks of input that are moved before other tasks get their turn.
const MAX_CHUNKS: usize = 8;

/// A device and how much of the current chunk it has shown.
struct Port {
    device: Box<dyn ConsoleDevice>,
    shown: usize,
}

/// Moves text for as long as the guest runs.
pub(super) async fn run(devices: Vec<Box<dyn ConsoleDevice>>, output: &SharedOutput) {
    let mut ports: Vec<Port> =
        devices.into_iter().map(|device| Port { device, shown: 0 }).collect();
    poll_fn(|cx| {
        for _ in 0..MAX_CHUNKS {
            let read = read(&mut ports, cx);
            let written = write(&mut ports, output, cx);
            if read.is_pending() && written.is_pending() {
                executor::describe(Awaiting::new("console text", 0));
                return Poll::<()>::Pending;
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

/// Moves one chunk of input from every device. Pending if none has any, or nobody reads it.
fn read(ports: &mut [Port], cx: &mut Context<'_>) -> Poll<()> {
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
    let mut chunk = [0; CHUNK];
    let mut count = output.text.with(|text| text.peek(&mut chunk));
    if count == 0 {
        if output.written.poll(cx).is_pending() {
            return Poll::Pending;
        }
        count = output.text.with(|text| text.peek(&mut chunk));
    }
    let mut all = Poll::Ready(());
    for port in &mut *ports {
        if let Some(rest) = chunk.get(port.shown..count).filter(|rest| !rest.is_empty()) {
            port.shown += port.device.write(rest);
            if port.shown < count && port.device.poll_writable(cx).is_pending() {
                all = Poll::Pending;
            }
        }
    }
    let shown = ports.iter().map(|port| port.shown).min().unwrap_or(count);
    output.text.with(|text| text.advance(shown));
    ports.iter_mut().for_each(|port| port.shown -= shown);
    all
}

#[cfg(test)]
mod tests {
    use alloc::{collections::VecDeque, rc::Rc};
    use core::{cell::RefCell, time::Duration};

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
            let devices: Vec<Box<dyn ConsoleDevice>> =
                alloc::vec![Box::new(first), Box::new(second)];
            executor::spawn(run(devices, output)).detach();
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
}
