//! A console on any UART.
//!
//! The interrupt handler switches the device's interrupts off and wakes the task, which moves the
//! bytes and switches on what it waits for. So the line is quiet when the handler returns, the
//! handler touches no FIFO, and a line that is edge-triggered (PC) sees a new edge every time.

use core::task::{Context, Poll};

use mayfly_device::{ConsoleDevice, InterruptHandler, Signal};

use crate::{Causes, Registers};

/// What task and interrupt handler share.
pub(crate) struct Shared<R> {
    registers: R,
    signal: Signal,
}

impl<R: Registers> Shared<R> {
    pub(crate) const fn new(registers: R) -> Self {
        Self { registers, signal: Signal::new() }
    }
}

impl<R: Registers> InterruptHandler for Shared<R> {
    fn interrupt(&self) {
        self.registers.interrupt_for(Causes::default());
        self.signal.raise();
    }
}

/// The console.
pub(crate) struct Uart<R: 'static> {
    shared: &'static Shared<R>,
    /// What the task waits for.
    armed: Causes,
    /// A byte that was taken to see whether there is one.
    peeked: Option<u8>,
}

impl<R: Registers> Uart<R> {
    /// Prepares the device.
    pub(crate) fn new(shared: &'static Shared<R>) -> Self {
        shared.registers.initialise();
        Self { shared, armed: Causes::default(), peeked: None }
    }

    /// Waits for the causes in `armed`: registers the task, then lets the device interrupt, also
    /// for what holds already. So there is no need to look once more.
    fn arm(&mut self, cx: &mut Context<'_>) {
        self.shared.signal.watch(cx);
        self.shared.registers.interrupt_for(self.armed);
    }
}

impl<R: Registers> ConsoleDevice for Uart<R> {
    fn read(&mut self, buffer: &mut [u8]) -> usize {
        let mut count = 0;
        for slot in buffer {
            let Some(byte) = self.peeked.take().or_else(|| self.shared.registers.read()) else {
                break;
            };
            *slot = byte;
            count += 1;
        }
        count
    }

    fn poll_readable(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.peeked = self.peeked.or_else(|| self.shared.registers.read());
        self.armed.readable = self.peeked.is_none();
        if self.peeked.is_some() {
            return Poll::Ready(());
        }
        self.arm(cx);
        Poll::Pending
    }

    fn write(&mut self, bytes: &[u8]) -> usize {
        let mut rest = bytes;
        while !rest.is_empty() {
            let room = self.shared.registers.room().min(rest.len());
            let Some((now, later)) = rest.split_at_checked(room).filter(|_| room > 0) else {
                break;
            };
            now.iter().for_each(|byte| self.shared.registers.write(*byte));
            rest = later;
        }
        bytes.len() - rest.len()
    }

    fn poll_writable(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.armed.writable = self.shared.registers.room() == 0;
        if !self.armed.writable {
            return Poll::Ready(());
        }
        self.arm(cx);
        Poll::Pending
    }
}

#[cfg(test)]
mod tests {
    extern crate std;

    use alloc::{boxed::Box, collections::VecDeque, sync::Arc, task::Wake, vec::Vec};
    use core::{
        sync::atomic::{AtomicUsize, Ordering},
        task::Waker,
    };
    use std::sync::Mutex;

    use super::*;

    #[derive(Default)]
    struct Fake(Mutex<State>);

    #[derive(Default)]
    struct State {
        input: VecDeque<u8>,
        output: Vec<u8>,
        room: usize,
        causes: Causes,
    }

    impl Registers for Fake {
        fn initialise(&self) {}

        fn read(&self) -> Option<u8> {
            self.0.lock().unwrap().input.pop_front()
        }

        fn room(&self) -> usize {
            self.0.lock().unwrap().room
        }

        fn write(&self, byte: u8) {
            let mut state = self.0.lock().unwrap();
            state.room -= 1;
            state.output.push(byte);
        }

        fn interrupt_for(&self, causes: Causes) {
            self.0.lock().unwrap().causes = causes;
        }
    }

    #[derive(Default)]
    struct Woken(AtomicUsize);

    impl Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn uart() -> (&'static Shared<Fake>, Uart<Fake>) {
        let shared = Box::leak(Box::new(Shared::new(Fake::default())));
        (shared, Uart::new(shared))
    }

    #[test]
    fn input_wakes_the_task_and_the_interrupt_goes_quiet() {
        let (shared, mut uart) = uart();
        let woken = Arc::new(Woken::default());
        let waker = Waker::from(Arc::clone(&woken));
        let mut cx = Context::from_waker(&waker);
        let state = || shared.registers.0.lock().unwrap();
        assert!(uart.poll_readable(&mut cx).is_pending());
        assert_eq!(state().causes, Causes { readable: true, writable: false });
        state().input.extend(b"ab");
        shared.interrupt();
        assert_eq!(woken.0.load(Ordering::Relaxed), 1);
        assert_eq!(state().causes, Causes::default());
        assert!(uart.poll_readable(&mut cx).is_ready());
        let mut buffer = [0; 5];
        assert_eq!(uart.read(&mut buffer), 2);
        assert_eq!(&buffer[..2], b"ab");
    }

    #[test]
    fn output_goes_on_when_there_is_room() {
        let (shared, mut uart) = uart();
        let mut cx = Context::from_waker(Waker::noop());
        let state = || shared.registers.0.lock().unwrap();
        state().room = 3;
        assert_eq!(uart.write(b"hello"), 3);
        assert!(uart.poll_readable(&mut cx).is_pending());
        assert!(uart.poll_writable(&mut cx).is_pending());
        assert_eq!(state().causes, Causes { readable: true, writable: true });
        state().room = 10;
        shared.interrupt();
        assert!(uart.poll_writable(&mut cx).is_ready());
        assert_eq!(uart.write(b"lo"), 2);
        assert_eq!(state().output, b"hello");
        assert!(uart.poll_readable(&mut cx).is_pending());
        assert_eq!(state().causes, Causes { readable: true, writable: false });
    }
}
