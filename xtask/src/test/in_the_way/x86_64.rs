//! start_info and what it leads to: the memory map, the command line, the list of modules and the
//! first of these (xen/include/public/arch-x86/hvm/start_info.h).

use anyhow::{Context, Result};

use super::Outcome::{self, Found, Refused};
use super::{INITRD, Places, Trial, relocate};
use crate::build::Image;
use crate::test::loader::{self, RBX};
use crate::test::stub::Stub;

/// The physical address that every loader puts the image at (`linker/x86_64.ld`).
const IMAGE: u64 = 0x10_0000;

const START_INFO_SIZE: usize = 56;
/// Where start_info has the list of modules, the command line and the memory map, and the number of
/// the latter's entries.
const MODULES: u64 = 16;
const COMMAND_LINE: u64 = 24;
const MEMORY_MAP: u64 = 40;
const ENTRIES: u64 = 48;
/// Bytes of an entry of either list. A module's begins with its address.
const MODULE_SIZE: usize = 32;
const ENTRY_SIZE: usize = 24;

/// More than the command line has.
const LONGEST_LINE: usize = 256;

/// What is moved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    StartInfo,
    MemoryMap,
    CommandLine,
    Modules,
    Initrd,
}
use Part::{CommandLine, Initrd, MemoryMap, Modules, StartInfo};

/// All, each before what leads to it.
const ALL: &[Part] = &[Initrd, Modules, CommandLine, MemoryMap, StartInfo];

/// What the image says of each.
fn complaint(part: Part) -> Outcome {
    Refused(match part {
        StartInfo => "the loader put start_info inside the image",
        MemoryMap => "the memory map lies inside the image",
        CommandLine => "the command line lies inside the image",
        Modules => "the module list lies inside the image",
        Initrd => "the module (initrd) lies inside the image; give the guest more memory",
    })
}

/// The tests of x86-64.
pub fn trials() -> Vec<Trial> {
    let one = |name, part: &'static [Part; 1], symbol, distance| {
        trial(name, part, symbol, distance, complaint(part[0]))
    };
    vec![
        trial("all-behind", ALL, "__image_end", 0, Found),
        one("start-info-in-bss", &[StartInfo], "__bss_start", 0),
        one("start-info-before-bss", &[StartInfo], "__bss_start", -8),
        one("start-info-in-last-bytes", &[StartInfo], "__image_end", -8),
        one("memory-map-in-stack", &[MemoryMap], "__stack_bottom", 0),
        one("memory-map-in-last-bytes", &[MemoryMap], "__image_end", -8),
        one("command-line-in-bss", &[CommandLine], "__bss_start", 0),
        one("command-line-in-last-bytes", &[CommandLine], "__image_end", -8),
        one("modules-in-tables", &[Modules], "__tables_start", 0),
        one("modules-in-last-bytes", &[Modules], "__image_end", -8),
        one("initrd-in-bss", &[Initrd], "__bss_start", 0),
        one("initrd-in-last-bytes", &[Initrd], "__image_end", -8),
    ]
}

/// Moves parts to a place so far from a symbol, one behind the other.
fn trial(
    name: &'static str,
    parts: &'static [Part],
    symbol: &'static str,
    distance: i64,
    outcome: Outcome,
) -> Trial {
    let change = move |stub: &mut Stub, image: &Image, places: &Places| {
        let start_info = loader::start_info(stub, image)?;
        let mut place = (IMAGE + places.of(symbol)?).wrapping_add_signed(distance);
        for &part in parts {
            place += rearrange(stub, start_info, part, place)?.next_multiple_of(8) as u64;
        }
        Ok(())
    };
    Trial { name, change: Box::new(change), outcome }
}

/// Moves a part to a place, and tells of it where it is looked for. Gives the part's size.
fn rearrange(stub: &mut Stub, start_info: u64, part: Part, place: u64) -> Result<usize> {
    let modules = address(stub, start_info + MODULES)?;
    let (pointer, size) = match part {
        StartInfo => {
            relocate(stub, start_info, place, START_INFO_SIZE)?;
            stub.set_register(RBX, place)?;
            return Ok(START_INFO_SIZE);
        }
        MemoryMap => {
            let entries = u32::from_le_bytes(stub.word(start_info + ENTRIES)?);
            (start_info + MEMORY_MAP, entries as usize * ENTRY_SIZE)
        }
        CommandLine => {
            let line = address(stub, start_info + COMMAND_LINE)?;
            let line = stub.read(line, LONGEST_LINE)?;
            let end = line.iter().position(|&byte| byte == 0);
            (start_info + COMMAND_LINE, end.context("the command line has no end")? + 1)
        }
        Modules => (start_info + MODULES, MODULE_SIZE),
        Initrd => (modules, INITRD),
    };
    let old = address(stub, pointer)?;
    relocate(stub, old, place, size)?;
    stub.write(pointer, &place.to_le_bytes())?;
    Ok(size)
}

/// The address at a place.
fn address(stub: &mut Stub, place: u64) -> Result<u64> {
    let bytes = stub.read(place, 8)?;
    Ok(u64::from_le_bytes(bytes.try_into().unwrap_or_default()))
}
