//! 16550 at I/O ports (National Semiconductor PC16550D, section 8).

use mayfly_arch::ports;

use crate::{Causes, Registers};

/// Offsets of the registers from the base port.
const DATA: u16 = 0;
const INTERRUPT_ENABLE: u16 = 1;
const FIFO_CONTROL: u16 = 2;
const MODEM_CONTROL: u16 = 4;
const LINE_STATUS: u16 = 5;

/// Ports that the device has.
pub(crate) const PORTS: u16 = 8;

const FIFO_ENABLE: u8 = 1;

/// Data terminal ready, request to send, and OUT2, which on a PC lets the interrupt through.
const MODEM_READY: u8 = 1 | 1 << 1 | 1 << 3;

const STATUS_DATA_READY: u8 = 1;
const STATUS_TRANSMIT_EMPTY: u8 = 1 << 5;

const INTERRUPT_RECEIVE: u8 = 1;
const INTERRUPT_TRANSMIT: u8 = 1 << 1;

/// Bytes that the empty transmit FIFO takes.
const FIFO_SIZE: usize = 16;

/// The registers, at `base` to `base + 7`.
pub(crate) struct Ns16550 {
    base: u16,
}

impl Ns16550 {
    /// The UART at these ports; `None` if they pass the end of the port space.
    pub(crate) const fn new(base: u16) -> Option<Self> {
        match base.checked_add(PORTS - 1) {
            Some(_) => Some(Self { base }),
            None => None,
        }
    }

    fn get(&self, offset: u16) -> u8 {
        ports::read_u8(self.base + offset)
    }

    fn set(&self, offset: u16, value: u8) {
        ports::write_u8(self.base + offset, value);
    }
}

impl Registers for Ns16550 {
    fn initialise(&self) {
        self.set(INTERRUPT_ENABLE, 0);
        self.set(FIFO_CONTROL, FIFO_ENABLE);
        self.set(MODEM_CONTROL, MODEM_READY);
    }

    fn read(&self) -> Option<u8> {
        let status = self.get(LINE_STATUS);
        // All ones: there is no device.
        if status & STATUS_DATA_READY == 0 || status == u8::MAX {
            return None;
        }
        Some(self.get(DATA))
    }

    fn room(&self) -> usize {
        if self.get(LINE_STATUS) & STATUS_TRANSMIT_EMPTY == 0 { 0 } else { FIFO_SIZE }
    }

    fn write(&self, byte: u8) {
        self.set(DATA, byte);
    }

    fn interrupt_for(&self, causes: Causes) {
        let receive = if causes.readable { INTERRUPT_RECEIVE } else { 0 };
        let transmit = if causes.writable { INTERRUPT_TRANSMIT } else { 0 };
        self.set(INTERRUPT_ENABLE, receive | transmit);
    }
}
