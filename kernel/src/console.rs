//! The console: text out without waiting, text in when it is typed.
//!
//! What is written goes into a buffer that a task empties as fast as the devices take it, so that
//! no task ever waits for a slow UART. When the buffer is full and the devices take no more, new
//! text is dropped and counted, and the gap is marked in the output. Of several consoles, one that
//! takes nothing does not keep the others from showing all, but for what is written by interrupt
//! handlers while the buffer is full. Before that task runs, and after the
//! last word of a guest that ends, text goes straight to the architecture's polled console.
//!
//! A UART is in use from the start. What is typed is taken from it when the app first [`read`]s,
//! which also starts the drivers of the other consoles, such as virtio-console;
//! [`use_all_devices`] does that for an app that only writes.
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
mod pieces;
mod port;
mod task;

use alloc::{boxed::Box, string::String, vec::Vec};
use core::{
    cell::{Cell, RefCell},
    fmt,
    future::poll_fn,
};

use mayfly_arch::console as polled;
use mayfly_device::ConsoleDevice;

pub(crate) use self::pieces::write_in_pieces;
use self::{
    input::Input,
    output::SharedOutput,
    port::Port,
    task::{Ports, Reader},
};
use crate::{devices::Found, executor};

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

mayfly_arch::local! {
    /// The task that moves text runs.
    static IS_SERVED: Cell<bool> = Cell::new(false);
}

mayfly_arch::local! {
    /// Consoles whose drivers are not started yet.
    static IDLE: RefCell<Vec<Found>> = RefCell::new(Vec::new());
}

mayfly_arch::local! {
    /// Takes in what was typed, from when on somebody wants it: what nobody refers to is not in the
    /// image.
    static READER: Cell<Option<Reader>> = Cell::new(None);
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

/// How many bytes of output were dropped so far, because the console was too slow. What only some
/// of several consoles missed counts for each of these.
pub fn dropped() -> u64 {
    OUTPUT.text.with(|text| text.dropped())
}

/// Reads what was typed: at least one byte, at most as many as fit. Only one task should read; of
/// two, either may get a byte. Waits for ever if there is no console to type at.
pub async fn read(buffer: &mut [u8]) -> usize {
    if READER.with(Cell::get).is_none() {
        READER.with(|reader| reader.set(Some(task::read)));
        use_all_devices();
        // The task has not looked for input so far.
        OUTPUT.written.raise();
    }
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
///
/// What an interrupt handler writes comes before or after a text that is formatted, not into it,
/// unless the text is longer than 256 bytes.
#[derive(Clone, Copy, Debug, Default)]
pub struct Console;

impl fmt::Write for Console {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        write(text.as_bytes());
        Ok(())
    }

    fn write_fmt(&mut self, text: fmt::Arguments<'_>) -> fmt::Result {
        write_in_pieces(text, |piece| write(piece.as_bytes()))
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

/// Starts the drivers of all consoles, also of those that are not UARTs: what is written shows on
/// each of them, at its own pace. One that is slower than the others misses what does not fit the
/// buffer, and says so.
pub fn use_all_devices() {
    let idle = IDLE.with(RefCell::take);
    serve(idle.into_iter().filter_map(Found::start_console).collect());
}

/// Starts the task that moves text between the buffers and `devices`, and takes note of the devices
/// that only some apps want. Without devices, output stays with the polled console.
pub(crate) fn start(devices: Vec<Box<dyn ConsoleDevice>>, idle: Vec<Found>) {
    IDLE.with(|list| list.replace(idle));
    serve(devices);
}

/// Adds consoles. With the first ones, starts the task.
fn serve(devices: Vec<Box<dyn ConsoleDevice>>) {
    if devices.is_empty() {
        return;
    }
    if devices.iter().any(|device| device.echoes()) {
        ECHOES.with(|echoes| echoes.set(true));
    }
    let new = devices.into_iter().map(|device| Port::new(device, &OUTPUT));
    PORTS.with(|ports| ports.borrow_mut().extend(new));
    // The task may be waiting for one of the others.
    OUTPUT.written.raise();
    OUTPUT.text.with(|text| text.set_buffered(true));
    if IS_SERVED.with(|served| served.replace(true)) {
        return;
    }
    let task = poll_fn(|cx| PORTS.with(|ports| task::poll(ports, &OUTPUT, cx)));
    executor::spawn_essential("console", task).detach();
}

/// Undoes [`flush_blocking`], as the guest goes on.
#[cfg(target_os = "none")]
pub(crate) fn go_on() {
    if IS_SERVED.with(Cell::get) {
        OUTPUT.text.with(|text| text.set_buffered(true));
        OUTPUT.written.raise();
    }
}

/// Writes what is buffered to the polled console, and everything after it too. For the last words
/// of a guest; works wherever it was interrupted, unless in the middle of a write to the console,
/// when the buffered text is given up.
pub(crate) fn flush_blocking() {
    let _ = OUTPUT.text.try_with(|text| {
        text.set_buffered(false);
        polled::write(text.note().rest());
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
