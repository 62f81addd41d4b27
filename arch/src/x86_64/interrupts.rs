//! Interrupt lines and messages, and where they arrive.
//!
//! | vectors | source | [`Irq`] |
//! |---|---|---|
//! | 0x20..0x50 | lines of one or two IO-APICs | 0..48, the global system interrupt |
//! | 0x50 | the clock | |
//! | 0x51..0x7e | messages (MSI, MSI-X) | 0x151..0x17e |
//! | 0x7e | Xen, which has events | 0x17e |
//! | 0x7f | spurious | |

use x86_64::instructions::port::PortWriteOnly;

use super::{
    apic, clock,
    ioapic::{IoApic, MAX_LINES},
    mmu::MapError,
};
use crate::{
    Device, Hypervisor, Interrupt, Irq, IrqLock, PhysAddr, kernel_entry::upcall, local::run_handler,
};

const FIRST_LINE: u8 = 0x20;
/// The clock's vector.
pub(super) const TIMER: u8 = 0x50;
const FIRST_MESSAGE: u8 = 0x51;
/// Where Xen calls. It passes by the local APIC, so there is no end of interrupt.
pub(super) const XEN: u8 = 0x7e;
const SPURIOUS: u8 = 0x7f;

/// What is added to a message's vector to make its [`Irq`].
const MESSAGE: u32 = 0x100;

/// What arrives when Xen calls. It cannot be disabled.
pub(super) const XEN_UPCALL: Irq = Irq(MESSAGE + XEN as u32);

/// The first IO-APIC, on every machine that has one, and the second, on microvm.
const IO_APICS: [PhysAddr; 2] = [PhysAddr(0xfec0_0000), PhysAddr(0xfec1_0000)];

/// Data ports of the two interrupt controllers of the PC/AT (Intel 8259A).
const PIC_MASKS: [u16; 2] = [0x21, 0xa1];

/// Where messages are written to (Intel SDM volume 3, 10.11.1).
const MESSAGE_ADDRESS: u64 = 0xfee0_0000;

static LINES: IrqLock<[Option<IoApic>; 2]> = IrqLock::new([None, None]);

static MESSAGES: IrqLock<Messages> =
    IrqLock::new(Messages { allocated: 0, enabled: 0, pending: 0 });

/// One bit for each vector from `FIRST_MESSAGE` on.
struct Messages {
    allocated: u32,
    enabled: u64,
    /// Those that came while they were disabled.
    pending: u64,
}

/// How a device raises an interrupt by a memory write (PCI Local Bus Specification 3.0, 6.8).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Message {
    /// What goes into the message address registers.
    pub address: u64,
    /// What goes into the message data register.
    pub data: u32,
    /// What arrives.
    pub irq: Irq,
}

/// Lets an interrupt through. A line is level-triggered: the handler must quiet the device or
/// disable the line. A message that came while it was disabled arrives now. Does nothing for a line
/// that the machine does not have.
pub fn enable(irq: Irq) {
    if let Some(bit) = message_bit(irq) {
        let was_pending = MESSAGES.with(|messages| {
            messages.enabled |= bit;
            let pending = messages.pending & bit != 0;
            messages.pending &= !bit;
            pending
        });
        if was_pending {
            apic::interrupt_self((irq.0 - MESSAGE) as u8);
        }
    } else if irq.0 < 2 * MAX_LINES {
        with_line(irq, IoApic::enable);
    }
}

/// Holds an interrupt back.
pub fn disable(irq: Irq) {
    if let Some(bit) = message_bit(irq) {
        MESSAGES.with(|messages| messages.enabled &= !bit);
    } else if irq.0 < 2 * MAX_LINES {
        with_line(irq, IoApic::disable);
    }
}

/// Sets a message aside for a device, disabled. `None` when all are taken.
pub fn allocate_message() -> Option<Message> {
    MESSAGES.with(|messages| {
        let vector = u32::from(FIRST_MESSAGE) + messages.allocated;
        if vector >= XEN.into() {
            return None;
        }
        messages.allocated += 1;
        // Physical destination; fixed delivery; edge. Only the id differs between processors.
        let address = MESSAGE_ADDRESS | u64::from(apic::id()) << 12;
        Some(Message { address, data: vector, irq: Irq(MESSAGE + vector) })
    })
}

fn message_bit(irq: Irq) -> Option<u64> {
    let vector = irq.0.checked_sub(MESSAGE)?;
    let index = vector.checked_sub(FIRST_MESSAGE.into())?;
    (vector < XEN.into()).then(|| 1 << index)
}

fn with_line(irq: Irq, f: impl FnOnce(&mut IoApic, u32, u8)) {
    LINES.with(|apics| {
        if let Some(Some(apic)) = apics.get_mut((irq.0 / MAX_LINES) as usize) {
            f(apic, irq.0 % MAX_LINES, FIRST_LINE + irq.0 as u8);
        }
    });
}

/// Sets up the interrupt controllers with everything disabled. The second IO-APIC is looked for only
/// if a device's line leads to it.
pub(super) fn init(hypervisor: Hypervisor, devices: &[Device]) -> Result<(), MapError> {
    if hypervisor == Hypervisor::Xen {
        // A PVH guest has no other (xen/docs/misc/pvh.pandoc).
        return apic::init(SPURIOUS);
    }
    for port in PIC_MASKS {
        // SAFETY: masks all lines of the old controllers, or does nothing where there are none.
        unsafe { PortWriteOnly::new(port).write(0xff_u8) };
    }
    apic::init(SPURIOUS)?;
    let second = devices.iter().any(|device| match device {
        Device::VirtioMmio(transport) => transport.irq.0 >= MAX_LINES,
        _ => false,
    });
    for (index, address) in IO_APICS.into_iter().take(1 + usize::from(second)).enumerate() {
        // SAFETY: only this module uses the registers of the IO-APICs, and this runs once.
        let apic = unsafe { IoApic::new(address) }?;
        LINES.with(|apics| apics[index] = apic);
    }
    Ok(())
}

/// Called by `vectors.S`, with interrupts off.
pub(super) extern "C" fn on_interrupt(vector: u32) {
    match vector as u8 {
        // Not in service, so it is not ended either.
        SPURIOUS => return,
        XEN => return run_handler(|| upcall::interrupt(Interrupt::Line(XEN_UPCALL))),
        TIMER => run_handler(|| {
            if clock::on_timer() {
                upcall::interrupt(Interrupt::Timer);
            }
        }),
        vector @ FIRST_LINE..TIMER => {
            let irq = Irq((vector - FIRST_LINE).into());
            run_handler(|| upcall::interrupt(Interrupt::Line(irq)));
        }
        _ => on_message(vector),
    }
    apic::end_of_interrupt();
}

fn on_message(vector: u32) {
    let irq = Irq(MESSAGE + vector);
    let Some(bit) = message_bit(irq) else { return };
    let enabled = MESSAGES.with(|messages| {
        if messages.enabled & bit == 0 {
            messages.pending |= bit;
        }
        messages.enabled & bit != 0
    });
    if enabled {
        run_handler(|| upcall::interrupt(Interrupt::Line(irq)));
    }
}
