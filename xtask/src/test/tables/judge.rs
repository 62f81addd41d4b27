//! What finished page tables must be like (ARCHITECTURE.md, "The image" and "The address space").

use std::ops::Range;

use anyhow::{Context, Result, bail, ensure};

use super::walk::{Mapped, Mapping, Rights};
use crate::build::elf;

const PAGE: u64 = 4096;

const NOTHING: Option<Rights> = None;
const CODE: Option<Rights> = Some(Rights { write: false, execute: true });
const CONSTANTS: Option<Rights> = Some(Rights { write: false, execute: false });
const VARIABLES: Option<Rights> = Some(Rights { write: true, execute: false });

/// The parts of an image, one behind the other: the symbols at which they begin, and what may be done
/// with them. `None` is for what is not mapped.
const PARTS: [(&str, Option<Rights>); 9] = [
    ("__text_start", CODE),
    ("__rodata_start", CONSTANTS),
    ("__data_start", VARIABLES),
    ("__bss_start", VARIABLES),
    ("__stack_guard", NOTHING),
    ("__stack_bottom", VARIABLES),
    ("__fault_stack_guard", NOTHING),
    ("__fault_stack_bottom", VARIABLES),
    ("__tables_start", NOTHING),
];
/// Those below the stacks.
const GUARDS: [&str; 2] = ["__stack_guard", "__fault_stack_guard"];
const END: &str = "__image_end";

/// A part of an image.
#[derive(Clone, Debug)]
struct Part {
    name: &'static str,
    addresses: Range<u64>,
    rights: Option<Rights>,
}

/// An image, as it should be mapped.
pub struct Layout(Vec<Part>);

impl Layout {
    /// That of an image in an ELF file.
    ///
    /// # Errors
    /// If it is no image of ours.
    pub fn read(file: &object::File<'_>) -> Result<Self> {
        let begins: Vec<u64> = PARTS
            .iter()
            .map(|(name, _)| elf::symbol(file, name))
            .chain([elf::symbol(file, END)])
            .collect::<Result<_>>()?;
        ensure!(begins[0] == elf::symbol(file, "__image_start")?, "the image begins elsewhere");
        ensure!(begins.is_sorted(), "the parts are in another order");
        ensure!(begins.iter().all(|begin| begin % PAGE == 0), "a part begins within a page");
        let part = |(&(name, rights), ends): (&(&'static str, _), &[u64])| Part {
            name,
            addresses: ends[0]..ends[1],
            rights,
        };
        Ok(Self(PARTS.iter().zip(begins.windows(2)).map(part).collect()))
    }

    /// An image whose parts have the same size.
    #[cfg(test)]
    pub fn made_up(start: u64, size: u64, rights: &[Option<Rights>]) -> Self {
        let part = |(number, &rights): (u64, &Option<Rights>)| {
            let begin = start + number * size;
            Part { name: "made up", addresses: begin..begin + size, rights }
        };
        Self((0..).zip(rights).map(part).collect())
    }

    fn addresses(&self) -> Range<u64> {
        let first = self.0.first().map_or(0, |part| part.addresses.start);
        first..self.0.last().map_or(0, |part| part.addresses.end)
    }
}

/// Fails unless these tables are as they must be, where an image is laid out so and no address below
/// `lowest` is in use, NULL least of all.
///
/// # Errors
/// What is wrong.
pub fn judge(mapped: &Mapped, image: &Layout, lowest: u64) -> Result<()> {
    for mapping in &mapped.mappings {
        let Mapping { address, rights, .. } = mapping;
        let both = rights.write && rights.execute;
        ensure!(!both, "{address:#x} is writable and executable");
        let frames = physical(mapping);
        if let Some(table) = mapped.tables.range(frames).next() {
            bail!("{address:#x} shows a page table, that at {table:#x}");
        }
    }
    let first = mapped.mappings.first().context("nothing is mapped")?;
    ensure!(first.address >= lowest, "{:#x} is mapped, as NULL may be", first.address);
    let code = image.0.first().context("the image has no parts")?;
    let executable = mapped.mappings.iter().filter(|mapping| mapping.rights.execute);
    for mapping in executable {
        let address = mapping.address;
        ensure!(
            code.addresses.contains(&address) && address + mapping.size <= code.addresses.end,
            "{address:#x} is executable and no code"
        );
    }
    judge_image(mapped, image)
}

/// The image is mapped part by part from one place in memory on, and its memory nowhere else, but
/// for that of the guards, which may be given to the guest.
fn judge_image(mapped: &Mapped, image: &Layout) -> Result<()> {
    let all = image.addresses();
    let first = find(mapped, all.start).context("the image is not mapped")?;
    let start = first.physical + (all.start - first.address);
    for part in &image.0 {
        for page in part.addresses.clone().step_by(PAGE as usize) {
            let found = find(mapped, page);
            let rights = found.map(|mapping| mapping.rights);
            ensure!(
                rights == part.rights,
                "{page:#x}, a page of {}, has {rights:?} instead of {:?}",
                part.name,
                part.rights
            );
            let place = found.map(|mapping| mapping.physical + (page - mapping.address));
            ensure!(
                place.is_none_or(|place| place == start + (page - all.start)),
                "{page:#x}, a page of {}, shows other memory, at {place:x?}",
                part.name
            );
        }
    }
    let place = |address: u64| start + (address - all.start);
    for mapping in mapped.mappings.iter().filter(|mapping| !all.contains(&mapping.address)) {
        let shown = physical(mapping);
        let second = image.0.iter().filter(|part| !GUARDS.contains(&part.name)).find(|part| {
            shown.start < place(part.addresses.end) && place(part.addresses.start) < shown.end
        });
        if let Some(part) = second {
            bail!("{:#x} shows {} of the image a second time", mapping.address, part.name);
        }
    }
    Ok(())
}

/// What maps an address.
fn find(mapped: &Mapped, address: u64) -> Option<&Mapping> {
    let behind = mapped.mappings.partition_point(|mapping| mapping.address <= address);
    let last = mapped.mappings.get(behind.checked_sub(1)?)?;
    (address - last.address < last.size).then_some(last)
}

/// The memory that a mapping shows.
fn physical(mapping: &Mapping) -> Range<u64> {
    mapping.physical..mapping.physical + mapping.size
}
