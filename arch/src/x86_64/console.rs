//! Polled output on COM1, from the first line of Rust on; or on the debug port where there is no COM1.
//! That one is for what goes wrong under Xen before there is a ring.

use core::{
    fmt,
    sync::atomic::{AtomicU8, Ordering},
};

use x86_64::instructions::port::{Port, PortWriteOnly};

use super::cpuid;
use crate::Hypervisor;

/// First I/O port of COM1, on every PC and on QEMU's microvm.
pub(super) const COM1: u16 = 0x3f8;

/// The port of Bochs whose bytes are printed by whoever emulates the machine; by Xen on its own console,
/// line by line (`XEN_HVM_DEBUGCONS_IOPORT`, `hvm_print_line` in xen/arch/x86/hvm/hvm.c). Elsewhere nothing
/// has it.
const DEBUG_PORT: u16 = 0xe9;

// Registers of the 16550, as offsets from the first port (National Semiconductor PC16550D).
const DATA: u16 = 0;
const INTERRUPT_ENABLE: u16 = 1;
const FIFO_CONTROL: u16 = 2;
const LINE_CONTROL: u16 = 3;
const LINE_STATUS: u16 = 5;
const SCRATCH: u16 = 7;

const EIGHT_BITS_NO_PARITY: u8 = 0x03;
const FIFO_ENABLE: u8 = 0x01;
const TRANSMITTER_EMPTY: u8 = 0x20;

/// Bytes that fit into an empty transmitter.
const FIFO_SIZE: usize = 16;

/// Looks at the line status before output is given up: far longer than 16 characters take at
/// 9600 baud on a real port, yet an end.
const PATIENCE: u32 = 1_000_000;

const UNKNOWN: u8 = 0;
const PRESENT: u8 = 1;
const ABSENT: u8 = 2;
/// There is no UART, and Xen has the debug port.
const DEBUG_PORT_ONLY: u8 = 3;

static STATE: AtomicU8 = AtomicU8::new(UNKNOWN);

/// Writes all of `bytes`, without looking at what they are, to Xen's debug port if there is no UART.
/// Drops them if there is no such port either, or the UART stops taking any.
pub fn write(bytes: &[u8]) {
    match state() {
        PRESENT => {}
        DEBUG_PORT_ONLY => return bytes.iter().for_each(|&byte| write_debug_port(byte)),
        _ => return,
    }
    for burst in bytes.chunks(FIFO_SIZE) {
        if !wait_for_room() {
            STATE.store(ABSENT, Ordering::Relaxed);
            return;
        }
        for &byte in burst {
            write_register(DATA, byte);
        }
    }
}

/// Whether COM1 answers.
pub(super) fn is_present() -> bool {
    state() == PRESENT
}

/// What there is to write to. Sets COM1 up at the first call.
fn state() -> u8 {
    if STATE.load(Ordering::Relaxed) == UNKNOWN {
        let state = if probe() {
            write_register(INTERRUPT_ENABLE, 0);
            write_register(LINE_CONTROL, EIGHT_BITS_NO_PARITY);
            write_register(FIFO_CONTROL, FIFO_ENABLE);
            PRESENT
        } else if cpuid::hypervisor().0 == Hypervisor::Xen {
            DEBUG_PORT_ONLY
        } else {
            ABSENT
        };
        STATE.store(state, Ordering::Relaxed);
    }
    STATE.load(Ordering::Relaxed)
}

/// A UART keeps what is written to its scratch register; an empty port reads as ones.
fn probe() -> bool {
    [0x5a, 0xa5].iter().all(|&pattern| {
        write_register(SCRATCH, pattern);
        read_register(SCRATCH) == pattern
    })
}

fn wait_for_room() -> bool {
    (0..PATIENCE).any(|_| read_register(LINE_STATUS) & TRANSMITTER_EMPTY != 0)
}

fn read_register(offset: u16) -> u8 {
    // SAFETY: the register file of COM1; reading the scratch and line status registers, the only
    // ones that are read here, changes nothing in memory.
    unsafe { Port::new(COM1 + offset).read() }
}

fn write_register(offset: u16, value: u8) {
    // SAFETY: the register file of COM1. The values written make it send bytes with interrupts
    // off; a UART does no DMA.
    unsafe { PortWriteOnly::new(COM1 + offset).write(value) }
}

fn write_debug_port(byte: u8) {
    // SAFETY: whoever has the port prints the byte; it has no other effect.
    unsafe { PortWriteOnly::new(DEBUG_PORT).write(byte) }
}

/// Formats onto the console: `write!(Writer, …)`.
pub(super) struct Writer;

impl fmt::Write for Writer {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        crate::console::write(text.as_bytes());
        Ok(())
    }
}

/// Prints a line on the console.
macro_rules! print_line {
    ($($argument:tt)*) => {{
        use core::fmt::Write;
        // Writing to the console cannot fail.
        let _ = writeln!($crate::machine::console::Writer, $($argument)*);
    }};
}
pub(super) use print_line;
