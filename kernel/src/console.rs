//! The console: text out without waiting, text in when it is typed.
//!
//! What is written goes into a buffer that a task empties as fast as the devices take it, so that
//! no task ever waits for a slow UART. When the buffer is full and the devices take no more, new
//! text is dropped and counted, and the gap is marked in the output. Before that task runs, and after the last word of a guest that
//! ends, text goes straight to the architecture's polled console.
//!
//! ```no_run
//! # async fn example() {
//! mayfly::print!("What is your name? ");
//! let name = mayfly::console::read_line().await;
//! mayfly::println!("Hello, {name}.");
//! # }
//! ```

mod input;
mod output;
mod task;

use alloc::{boxed::Box, string::String, vec::Vec};
use core::{cell::Cell, fmt, future::poll_fn};

use mayfly_arch::console as polled;
use mayfly_device::ConsoleDevice;

use self::{input::Input, output::SharedOutput, task::Ports};
use crate::executor;

/// Output that the devices have not taken yet.
static OUTPUT: SharedOutput = SharedOutput::new();

mayfly_arch::local! {
    static INPUT: Input = Input::new();
}

mayfly_arch::local! {
    static PORTS: Ports = Ports::new(Vec::new());
}

mayfly_arch::local! {
    /// Whether a device shows itself what is typed at it.
    static ECHOES: Cell<bool> = Cell::new(false);
}

/// Writes to the console. Never waits: text for which there is no room in the buffer, and which the
/// devices do not take right now, is dropped.
pub fn write(bytes: &[u8]) {
    for part in bytes.chunks(output::SIZE / 2) {
        if OUTPUT.text.with(|text| text.room()) < part.len() && !mayfly_arch::in_interrupt() {
            PORTS.with(|ports| task::make_room(ports, &OUTPUT, part.len()));
        }
        if !OUTPUT.push(part) {
            polled::write(part);
        }
    }
}

/// How many bytes of output were dropped so far, because the console was too slow.
pub fn dropped() -> u64 {
    OUTPUT.text.with(|text| text.dropped())
}

/// Reads what was typed: at least one byte, at most as many as fit. Only one task should read; of
/// two, either may get a byte. Waits for ever if there is no console to type at.
pub async fn read(buffer: &mut [u8]) -> usize {
    poll_fn(|cx| INPUT.with(|input| input.poll_read(cx, buffer))).await
}

/// Reads a line and echoes it as it is typed, unless the device does. Backspace works, control
/// characters are ignored, bytes that are not UTF-8 are replaced. Without the end of the line.
pub async fn read_line() -> String {
    let mut line = input::LineEditor::new();
    loop {
        let mut byte = [0];
        read(&mut byte).await;
        let done = line.typed(byte[0]);
        if !ECHOES.with(Cell::get) {
            write(line.echo());
        }
        if done {
            return line.finish();
        }
    }
}

/// The console as a [`fmt::Write`]: `writeln!(Console, …)`. See also [`println!`](crate::println).
#[derive(Clone, Copy, Debug, Default)]
pub struct Console;

impl fmt::Write for Console {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        write(text.as_bytes());
        Ok(())
    }
}

/// Prints to the console.
#[macro_export]
macro_rules! print {
    ($($arguments:tt)*) => {{
        // Writing to the console cannot fail.
        let _ = core::fmt::Write::write_fmt(
            &mut $crate::console::Console,
            core::format_args!($($arguments)*),
        );
    }};
}

/// Prints a line to the console.
#[macro_export]
macro_rules! println {
    () => { $crate::print!("\n") };
    ($format:expr $(, $($arguments:tt)*)?) => {
        $crate::print!("{}\n", core::format_args!($format $(, $($arguments)*)?))
    };
}

/// Starts the task that moves text between the buffers and `devices`. Without devices, output stays
/// with the polled console.
pub(crate) fn start(devices: Vec<Box<dyn ConsoleDevice>>) {
    if devices.is_empty() {
        return;
    }
    ECHOES.with(|echoes| echoes.set(devices.iter().any(|device| device.echoes())));
    PORTS.with(|ports| ports.replace(task::ports(devices)));
    OUTPUT.text.with(|text| text.set_buffered(true));
    let task = poll_fn(|cx| PORTS.with(|ports| task::poll(ports, &OUTPUT, cx)));
    executor::spawn_essential("console", task).detach();
}

/// Writes what is buffered to the polled console, and everything after it too. For the last words
/// of a guest; works wherever it was interrupted, unless in the middle of a write to the console,
/// when the buffered text is given up.
pub(crate) fn flush_blocking() {
    let _ = OUTPUT.text.try_with(|text| {
        text.set_buffered(false);
        let mut chunk = [0; 64];
        loop {
            let count = text.pop(&mut chunk);
            match chunk.get(..count) {
                Some(bytes) if count > 0 => polled::write(bytes),
                _ => return,
            }
        }
    });
}
