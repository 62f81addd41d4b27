//! What a machine without PCI tells in its ACPI tables: virtio-mmio transports and how to switch off.
//!
//! QEMU's microvm, when it has ACPI, puts nothing on the command line. Its tables hold two things of
//! interest, at places that need no interpreter for their byte code: the registers of hardware-reduced
//! ACPI in the FADT (ACPI 6.5, 5.2.9), and in the DSDT plain resource descriptors (6.4) behind each
//! device's name. Everything is read through [`PhysicalMemory`] and believed as little as start_info.

use super::{PhysicalMemory, Raw, virtio_mmio};
use crate::{PhysAddr, PhysRange, VirtioMmio};

/// Bytes of a table before its own contents.
const HEADER_SIZE: usize = 36;

/// Largest DSDT that is looked through, and most tables.
const MAX_SIZE: u64 = 64 * 1024;
const MAX_TABLES: u64 = 64;

/// Something that was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    /// A virtio-mmio transport.
    Transport(VirtioMmio),
    /// What to write to the sleep control register to switch off.
    PowerOff(u8),
}

/// The ACPI tables of interest.
#[derive(Clone, Copy, Debug)]
pub struct Tables {
    dsdt: PhysRange,
    /// The sleep control register, one byte of memory.
    pub sleep_control: Option<PhysAddr>,
    /// The reset register, one byte of memory, and what to write to it.
    pub reset: Option<(PhysAddr, u8)>,
}

impl Tables {
    /// Follows the root pointer to FADT and DSDT. `None` if it leads nowhere.
    pub fn find(memory: &impl PhysicalMemory, root: PhysAddr) -> Option<Self> {
        let root = read::<36>(memory, root)?;
        let root = Raw(&root);
        if &root.0[..8] != b"RSD PTR " {
            return None;
        }
        // Revision 2 has a list of 64-bit addresses, the one before it of 32-bit ones.
        let (list, width) = match (root.0[15], root.u64(24)) {
            (2.., list @ 1..) => (list, 8),
            _ => (u64::from(root.u32(16)), 4),
        };
        let size = u64::from(table(memory, PhysAddr(list))?.1);
        let count = (size.saturating_sub(HEADER_SIZE as u64) / width).min(MAX_TABLES);
        for index in 0..count {
            let entry = list.checked_add(HEADER_SIZE as u64 + index * width)?;
            let entry = read::<8>(memory, PhysAddr(entry))?;
            let mask = if width == 8 { u64::MAX } else { u32::MAX.into() };
            let address = PhysAddr(Raw(&entry).u64(0) & mask);
            if table(memory, address)?.0 == *b"FACP" {
                return Self::from_fadt(memory, address);
            }
        }
        None
    }

    fn from_fadt(memory: &impl PhysicalMemory, address: PhysAddr) -> Option<Self> {
        let fadt = read::<256>(memory, address)?;
        let fadt = Raw(&fadt);
        // Fields that an older, shorter table lacks count as zero.
        let size = fadt.u32(4) as usize;
        let field = |offset: usize| if offset + 8 <= size { fadt.u64(offset) } else { 0 };
        let dsdt = match field(140) {
            0 => u64::from(fadt.u32(40)),
            address => address,
        };
        let (signature, size) = table(memory, PhysAddr(dsdt))?;
        if signature != *b"DSDT" || u64::from(size) > MAX_SIZE {
            return None;
        }
        // A generic address: space (0: memory), width, offset, access size, address (5.2.3.2).
        let register = |offset: usize| match (field(offset) & 0xff, field(offset + 4)) {
            (0, address @ 1..) => Some(PhysAddr(address)),
            _ => None,
        };
        Some(Self {
            dsdt: PhysRange::new(PhysAddr(dsdt), size.into())?,
            sleep_control: register(244),
            reset: register(116).map(|address| (address, fadt.0[128])),
        })
    }

    /// Looks through the DSDT and reports what it finds.
    pub fn scan(&self, memory: &impl PhysicalMemory, mut report: impl FnMut(Found)) {
        // What is looked for at a place takes at most LOOK_AHEAD bytes from there on.
        const LOOK_AHEAD: usize = 96;
        const STEP: usize = 256;
        let mut buffer = [0; STEP + LOOK_AHEAD];
        let mut at = self.dsdt.start().0;
        while at < self.dsdt.end().0 {
            let size = (self.dsdt.end().0 - at).min(buffer.len() as u64) as usize;
            let chunk = &mut buffer[..size];
            if !memory.read(PhysAddr(at), chunk) {
                return;
            }
            for place in 0..size.min(STEP) {
                if let Some(found) = look(&chunk[place..size.min(place + LOOK_AHEAD)]) {
                    report(found);
                }
            }
            at += STEP as u64;
        }
    }
}

/// What starts at the first of these bytes, if anything does.
fn look(bytes: &[u8]) -> Option<Found> {
    if let Some(rest) = bytes.strip_prefix(b"LNRO0005\0") {
        return resources(rest).map(Found::Transport);
    }
    // A package whose first element is the sleep type: PackageOp, length, count, BytePrefix or a
    // constant zero or one (20.2.2, 20.2.5).
    let sleep_type = match bytes.strip_prefix(b"_S5_\x12")? {
        [_, _, 0x0a, value, ..] => *value,
        [_, _, value @ 0..=1, ..] => *value,
        _ => return None,
    };
    // Sleep type in bits 2 to 4, sleep enable in bit 5 (4.8.3.7).
    Some(Found::PowerOff((sleep_type & 7) << 2 | 1 << 5))
}

/// The descriptors of a transport: fixed memory, then an interrupt (6.4.3.4, 6.4.3.6).
fn resources(bytes: &[u8]) -> Option<VirtioMmio> {
    const MEMORY: &[u8] = &[0x86, 9, 0];
    const INTERRUPT: &[u8] = &[0x89, 6, 0];
    let find = |what: &[u8]| {
        let at = bytes.windows(what.len()).position(|window| window == what)?;
        bytes.get(at + what.len()..)
    };
    // Read/write flag, base, length; flags, number of interrupts, the first.
    let memory = find(MEMORY)?.first_chunk::<9>()?;
    let interrupt = find(INTERRUPT)?.first_chunk::<6>()?;
    let (memory, interrupt) = (Raw(memory), Raw(interrupt));
    let (base, size) = (memory.u32(1), memory.u32(5));
    virtio_mmio::transport(base.into(), size.into(), interrupt.u32(2).into())
}

/// Signature and size of the table at `address`.
fn table(memory: &impl PhysicalMemory, address: PhysAddr) -> Option<([u8; 4], u32)> {
    let header = read::<HEADER_SIZE>(memory, address)?;
    let header = Raw(&header);
    Some((header.u32(0).to_le_bytes(), header.u32(4)))
}

fn read<const N: usize>(memory: &impl PhysicalMemory, address: PhysAddr) -> Option<[u8; N]> {
    let mut bytes = [0; N];
    memory.read(address, &mut bytes).then_some(bytes)
}

#[cfg(test)]
mod tests;
