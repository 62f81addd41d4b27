//! Reads what a PVH loader leaves in memory: `hvm_start_info`, memory map, command line, modules.
//!
//! Layouts are those of `xen/include/public/arch-x86/hvm/start_info.h`, little endian. Nothing in
//! them is believed: every address goes through [`PhysicalMemory`], every sum is checked, and
//! what makes no sense is a [`StartInfoError`] or a warning. Knows no hardware, so that it is
//! tested on the host.

pub mod acpi;
mod regions;
pub mod virtio_mmio;

use core::fmt;

use heapless::Vec;

use crate::{MAX_REGIONS, PAGE_SIZE, PhysAddr, PhysRange};
use regions::Regions;

/// Access to physical memory before it is mapped.
pub trait PhysicalMemory {
    /// Copies memory from `address` on. `false`, with `into` in any state, if that is not possible.
    fn read(&self, address: PhysAddr, into: &mut [u8]) -> bool;
}

/// First word of start_info.
const MAGIC: u32 = 0x336e_c578;

/// Bytes of start_info, of a module entry and of a memory map entry.
const START_INFO_SIZE: usize = 56;
const MODULE_SIZE: u64 = 32;
const MEMORY_ENTRY_SIZE: u64 = 24;

/// Memory map type of usable RAM; all others are left alone.
const TYPE_RAM: u32 = 1;

/// Most memory map entries that are believed. QEMU's firmware gives at most 128.
const MAX_ENTRIES: u32 = 4096;

/// Below 1 MiB a PC has memory that the memory map does not count as RAM, because the firmware lives
/// there. QEMU's leaves the command line in it.
const FIRMWARE_END: PhysAddr = PhysAddr(1 << 20);

/// Longest command line that is read. QEMU's firmware has room for 4096 bytes.
const MAX_COMMAND_LINE: u64 = 64 * 1024;

/// What the loader said, checked.
#[derive(Debug)]
pub struct StartInfo {
    /// RAM that is free: whole frames, ascending, without frame 0, the image, the command line and
    /// the module. The loader's other structures may be overwritten once this is returned.
    pub memory: Vec<PhysRange, MAX_REGIONS>,
    /// All RAM in the memory map, in bytes.
    pub memory_total: u64,
    /// The command line, without the zero at its end, in RAM or in the firmware's memory. Empty if
    /// there is none.
    pub command_line: PhysRange,
    /// The first module, which lies in RAM.
    pub module: Option<PhysRange>,
    /// The ACPI root pointer, or zero.
    pub rsdp: PhysAddr,
    /// What was odd but bearable.
    pub warnings: Vec<&'static str, 8>,
}

/// Why start_info cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum StartInfoError {
    /// It does not start with the magic number.
    Magic(u32),
    /// It is of version 0, which has no memory map.
    Version,
    /// Something in it points to where no memory can be.
    Unreadable(&'static str),
    /// The memory map has more entries than can be right.
    TooManyEntries(u32),
    /// The memory map has no RAM beyond what the image takes.
    NoMemory,
    /// Something lies where the image or its data is.
    InsideImage(&'static str),
    /// Something that is going to be used in place is not in RAM.
    OutsideMemory(&'static str),
}

impl fmt::Display for StartInfoError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Magic(found) => {
                write!(f, "start_info begins with {found:#x} in place of {MAGIC:#x}")?;
            }
            Self::Version => f.write_str("start_info is of version 0 and has no memory map")?,
            Self::Unreadable(what) => write!(f, "{what} lies where no memory can be")?,
            Self::TooManyEntries(count) => {
                write!(f, "the memory map has {count} entries, more than {MAX_ENTRIES}")?;
            }
            Self::NoMemory => {
                return f.write_str(
                    "the memory map has no usable RAM besides the image; give the guest more memory",
                );
            }
            // QEMU puts the initrd at the end of memory, however little there is.
            Self::InsideImage(what) => {
                let advice = "give the guest more memory, or use another loader";
                return write!(f, "{what} lies inside the image; {advice}");
            }
            Self::OutsideMemory(what) => write!(f, "{what} is not in RAM")?,
        }
        f.write_str("; use another loader")
    }
}

impl core::error::Error for StartInfoError {}

/// Reads the start_info at `address`. `image` is the memory that the image takes, `limit` the first
/// physical address that cannot be mapped.
pub fn parse(
    memory: &impl PhysicalMemory,
    address: PhysAddr,
    image: PhysRange,
    limit: PhysAddr,
) -> Result<StartInfo, StartInfoError> {
    let info = read_info(memory, address)?;
    let raw = Raw(&info);
    let map = MemoryMap::new(memory, PhysAddr(raw.u64(40)), raw.u32(48), image)?;
    let mut warnings = Vec::new();
    // The first eight warnings will do.
    let mut warn = |text| _ = warnings.push(text);

    let mut regions = Regions::new();
    map.collect(&mut regions, limit, &mut warn)?;
    let memory_total = regions.iter().map(|range| range.size()).sum();

    let command_line = match PhysAddr(raw.u64(24)) {
        PhysAddr(0) => PhysRange::between(PhysAddr(0), PhysAddr(0)),
        start => find_command_line(memory, start, image, &regions, &mut warn)?,
    };
    let module = find_module(memory, &raw, image, &regions, &mut warn)?;

    regions.remove(PhysRange::between(PhysAddr(0), PhysAddr(PAGE_SIZE as u64)));
    regions.remove(image);
    regions.remove(command_line);
    regions.remove(module.unwrap_or(command_line));
    if regions.iter().next().is_none() {
        return Err(StartInfoError::NoMemory);
    }
    if regions.lost_some() {
        warn("the memory map has too many holes; its smallest regions are left unused");
    }
    let memory = regions.into_inner();
    Ok(StartInfo {
        memory,
        memory_total,
        command_line,
        module,
        rsdp: PhysAddr(raw.u64(32)),
        warnings,
    })
}

/// Reads start_info itself, of a version that has a memory map.
fn read_info(
    memory: &impl PhysicalMemory,
    address: PhysAddr,
) -> Result<[u8; START_INFO_SIZE], StartInfoError> {
    let mut info = [0; START_INFO_SIZE];
    read(memory, address, &mut info, "start_info")?;
    let raw = Raw(&info);
    if raw.u32(0) != MAGIC {
        return Err(StartInfoError::Magic(raw.u32(0)));
    }
    if raw.u32(4) == 0 {
        return Err(StartInfoError::Version);
    }
    Ok(info)
}

/// Little-endian fields of a structure whose size is known.
struct Raw<'a, const N: usize>(&'a [u8; N]);

impl<const N: usize> Raw<'_, N> {
    fn u32(&self, offset: usize) -> u32 {
        let mut bytes = [0; 4];
        bytes.copy_from_slice(&self.0[offset..offset + 4]);
        u32::from_le_bytes(bytes)
    }

    fn u64(&self, offset: usize) -> u64 {
        u64::from(self.u32(offset)) | u64::from(self.u32(offset + 4)) << 32
    }
}

/// Reads memory that `what` should be in.
fn read(
    memory: &impl PhysicalMemory,
    address: PhysAddr,
    into: &mut [u8],
    what: &'static str,
) -> Result<(), StartInfoError> {
    if memory.read(address, into) { Ok(()) } else { Err(StartInfoError::Unreadable(what)) }
}

/// The loader's memory map.
struct MemoryMap<'a, M> {
    memory: &'a M,
    start: PhysAddr,
    entries: u32,
}

impl<'a, M: PhysicalMemory> MemoryMap<'a, M> {
    const NAME: &'static str = "the memory map";

    fn new(
        memory: &'a M,
        start: PhysAddr,
        entries: u32,
        image: PhysRange,
    ) -> Result<Self, StartInfoError> {
        if entries > MAX_ENTRIES {
            return Err(StartInfoError::TooManyEntries(entries));
        }
        let range = PhysRange::new(start, u64::from(entries) * MEMORY_ENTRY_SIZE)
            .ok_or(StartInfoError::Unreadable(Self::NAME))?;
        if range.overlaps(image) {
            return Err(StartInfoError::InsideImage(Self::NAME));
        }
        Ok(Self { memory, start, entries })
    }

    /// Gathers the RAM below `limit`, less what any entry says is something else.
    fn collect(
        &self,
        regions: &mut Regions,
        limit: PhysAddr,
        warn: &mut impl FnMut(&'static str),
    ) -> Result<(), StartInfoError> {
        let reachable = PhysRange::between(PhysAddr(0), limit);
        let mut beyond = false;
        self.for_each(|kind, start, size| {
            if kind != TYPE_RAM {
                return;
            }
            match PhysRange::new(start, size) {
                Some(range) => {
                    beyond |= range.end() > reachable.end();
                    let end = range.end().min(reachable.end());
                    regions.add(PhysRange::between(range.start(), end));
                }
                None => beyond = true,
            }
        })?;
        if beyond {
            warn("the memory map has RAM beyond what can be mapped; that is left unused");
        }
        self.for_each(|kind, start, size| {
            if kind != TYPE_RAM {
                let end = PhysAddr(start.0.saturating_add(size));
                regions.remove(PhysRange::between(start, end));
            }
        })
    }

    /// Calls `f` with type, start and size of each entry.
    fn for_each(&self, mut f: impl FnMut(u32, PhysAddr, u64)) -> Result<(), StartInfoError> {
        for index in 0..u64::from(self.entries) {
            let mut raw = [0; MEMORY_ENTRY_SIZE as usize];
            // `new` has checked that the whole map has addresses.
            let address = PhysAddr(self.start.0 + index * MEMORY_ENTRY_SIZE);
            read(self.memory, address, &mut raw, Self::NAME)?;
            let raw = Raw(&raw);
            f(raw.u32(16), PhysAddr(raw.u64(0)), raw.u64(8));
        }
        Ok(())
    }
}

/// The command line from `start` to the zero that ends it.
fn find_command_line(
    memory: &impl PhysicalMemory,
    start: PhysAddr,
    image: PhysRange,
    ram: &Regions,
    warn: &mut impl FnMut(&'static str),
) -> Result<PhysRange, StartInfoError> {
    const NAME: &str = "the command line";
    let mut length = 0;
    while length < MAX_COMMAND_LINE {
        let mut chunk = [0; 64];
        // To the next multiple of the chunk size, so that no read leaves the page that it is in.
        let address = start.0.checked_add(length).ok_or(StartInfoError::Unreadable(NAME))?;
        let size = chunk.len() - (address % chunk.len() as u64) as usize;
        let chunk = &mut chunk[..size];
        read(memory, PhysAddr(address), chunk, NAME)?;
        if let Some(end) = chunk.iter().position(|&byte| byte == 0) {
            length += end as u64;
            break;
        }
        length += size as u64;
    }
    if length >= MAX_COMMAND_LINE {
        length = MAX_COMMAND_LINE;
        warn("the command line is longer than 64 KiB; the rest of it is left out");
    }
    let range = PhysRange::new(start, length).ok_or(StartInfoError::Unreadable(NAME))?;
    if range.overlaps(image) || image.contains(start) {
        return Err(StartInfoError::InsideImage(NAME));
    }
    // Device registers would change while they are read.
    if range.end() > FIRMWARE_END && !ram.contains(range) {
        return Err(StartInfoError::OutsideMemory(NAME));
    }
    Ok(range)
}

/// The first module of the module list, if there is one.
fn find_module(
    memory: &impl PhysicalMemory,
    info: &Raw<'_, START_INFO_SIZE>,
    image: PhysRange,
    ram: &Regions,
    warn: &mut impl FnMut(&'static str),
) -> Result<Option<PhysRange>, StartInfoError> {
    const LIST: &str = "the module list";
    const MODULE: &str = "the module (initrd)";
    let (count, list) = (info.u32(12), PhysAddr(info.u64(16)));
    if count == 0 {
        return Ok(None);
    }
    if count > 1 {
        warn("the loader passed several modules; all but the first are left out");
    }
    let entry = PhysRange::new(list, MODULE_SIZE).ok_or(StartInfoError::Unreadable(LIST))?;
    if entry.overlaps(image) {
        return Err(StartInfoError::InsideImage(LIST));
    }
    let mut raw = [0; MODULE_SIZE as usize];
    read(memory, list, &mut raw, LIST)?;
    let raw = Raw(&raw);
    let module = PhysRange::new(PhysAddr(raw.u64(0)), raw.u64(8))
        .ok_or(StartInfoError::Unreadable(MODULE))?;
    if module.is_empty() {
        return Ok(None);
    }
    if module.overlaps(image) {
        return Err(StartInfoError::InsideImage(MODULE));
    }
    if !ram.contains(module) {
        return Err(StartInfoError::OutsideMemory(MODULE));
    }
    Ok(Some(module))
}

#[cfg(test)]
mod tests;
