//! Polled output on a PL011 UART, for what must be said before, or without, a driver.
//!
//! Registers: ARM DDI 0183 (PrimeCell UART PL011), chapter 3.

use core::{
    ptr::NonNull,
    sync::atomic::{AtomicUsize, Ordering},
};

use safe_mmio::{
    UniqueMmioPointer, field,
    fields::{ReadPure, ReadPureWrite},
};

use super::mmu;
use crate::{PhysAddr, PhysRange};

/// Where QEMU's virt machine has its UART: the guess until a device tree says otherwise.
pub(crate) const UART_GUESS: u64 = 0x0900_0000;

/// FR.TXFF: the transmit FIFO is full.
const TRANSMIT_FULL: u32 = 1 << 5;

/// How often a full FIFO is looked at before the UART is given up: far longer than a slow line
/// takes for a byte. What is not a UART may look full for ever.
const PATIENCE: u32 = 1 << 22;

/// Nothing is known yet.
const UNKNOWN: usize = 0;
/// There is no UART.
const NONE: usize = 1;

/// [`UNKNOWN`], [`NONE`] or the address of the registers.
static UART: AtomicUsize = AtomicUsize::new(UNKNOWN);

#[repr(C)]
struct Registers {
    data: ReadPureWrite<u32>,
    _to_flags: [u32; 5],
    flags: ReadPure<u32>,
}

/// Uses the PL011 at `base`, a multiple of 4, from now on, or nothing at all.
pub(crate) fn use_uart(base: Option<PhysAddr>) {
    let registers = base
        .and_then(|base| PhysRange::new(base, size_of::<Registers>() as u64))
        .and_then(|range| mmu::map_device(range).ok());
    UART.store(registers.map_or(NONE, |pointer| pointer.addr().get()), Ordering::Relaxed);
}

/// Writes all of `bytes` as they are, waiting for room in the FIFO. Before the device tree has been
/// read it writes where QEMU's virt machine has its UART; on a machine without one it does nothing.
pub fn write(bytes: &[u8]) {
    if UART.load(Ordering::Relaxed) == UNKNOWN {
        use_uart(Some(PhysAddr(UART_GUESS)));
    }
    let address = UART.load(Ordering::Relaxed);
    if address == NONE {
        return;
    }
    let Some(registers) = NonNull::new(core::ptr::with_exposed_provenance_mut(address)) else {
        return;
    };
    // SAFETY: the address comes from `map_device`, so it is device memory, mapped for ever, as
    // large as the registers. It is aligned to 4, as the guess is and what discovery found
    // (`Discovered::uart`). The serial driver may use them too: every access is one 32-bit
    // access, and at worst output of both is mixed.
    let mut registers = unsafe { UniqueMmioPointer::<Registers>::new(registers) };
    for byte in bytes {
        let full = |_: &u32| field!(registers, flags).read() & TRANSMIT_FULL != 0;
        if (0..PATIENCE).take_while(full).count() == PATIENCE as usize {
            UART.store(NONE, Ordering::Relaxed);
            return;
        }
        field!(registers, data).write(u32::from(*byte));
    }
}
