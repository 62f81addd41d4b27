//! The driver for whatever UART discovery found.

use alloc::boxed::Box;
use core::fmt;

use mayfly_arch::{Irq, PAGE_SIZE, PhysAddr, PhysRange, UartKind, mmu};
use mayfly_device::{ConsoleDevice, InterruptHandler};

use crate::{
    Registers,
    ns16550::Ns16550,
    pl011::{self, Kind, Pl011},
    uart::{Shared, Uart},
};

/// A driver that was started.
pub struct Started {
    /// The console, ready for use.
    pub console: Box<dyn ConsoleDevice>,
    /// The interrupt to register `handler` for and to enable.
    pub irq: Irq,
    /// What to call when it arrives.
    pub handler: &'static dyn InterruptHandler,
}

/// Why a driver could not be started for a UART.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StartError {
    /// Its registers could not be mapped.
    Map,
    /// Its registers cannot be where discovery says.
    Place,
    /// It has no interrupt line.
    NoInterrupt,
    /// It is of a kind that this driver does not know.
    Unknown,
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Map => "its registers cannot be mapped; start it before sealing",
            Self::Place => "its registers cannot be where the device tree says",
            Self::NoInterrupt => {
                "it has no interrupt; output goes on by polling, input is not read"
            }
            Self::Unknown => "this kind of UART has no driver",
        })
    }
}

impl core::error::Error for StartError {}

/// Starts the driver of a UART.
///
/// # Errors
/// Why it cannot be started.
pub fn start(uart: mayfly_arch::Uart) -> Result<Started, StartError> {
    let irq = uart.irq.ok_or(StartError::NoInterrupt)?;
    match uart.kind {
        UartKind::Pl011(address) => Ok(started(map_pl011(address, Kind::Pl011)?, irq)),
        UartKind::Sbsa(address) => Ok(started(map_pl011(address, Kind::Sbsa)?, irq)),
        UartKind::Port16550(base) => Ok(started(Ns16550::new(base).ok_or(StartError::Place)?, irq)),
        UartKind::Stdio => Err(StartError::Unknown),
    }
}

fn started<R: Registers>(registers: R, irq: Irq) -> Started {
    let shared = Box::leak(Box::new(Shared::new(registers)));
    Started { console: Box::new(Uart::new(shared)), irq, handler: shared }
}

fn map_pl011(address: PhysAddr, kind: Kind) -> Result<Pl011, StartError> {
    let registers = PhysRange::new(address, pl011::SIZE).ok_or(StartError::Place)?;
    let end = registers.end().frame_end().ok_or(StartError::Place)?;
    if !address.0.is_multiple_of(4) {
        return Err(StartError::Place);
    }
    let pages = PhysRange::between(address.frame_start(), end);
    let base = mmu::map_device(pages).map_err(|_| StartError::Map)?;
    // SAFETY: the registers start within the first page that was mapped, and end within the last;
    // discovery says that they are of this kind; mappings of devices stay.
    Ok(unsafe { Pl011::new(base.byte_add((address.0 % PAGE_SIZE as u64) as usize).cast(), kind) })
}
