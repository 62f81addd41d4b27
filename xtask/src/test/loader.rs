//! What QEMU's loader has left in memory, where the image is not yet running: the stub finds it, and
//! can change it.

use anyhow::{Context, Result, bail, ensure};
use object::Endianness;
use object::read::elf::{ElfFile64, FileHeader, ProgramHeader};

use super::stub::Stub;
use crate::arch::Arch;
use crate::build::Image;

/// Where the RAM of QEMU's ARM machines begins.
pub const RAM: u64 = 0x4000_0000;
/// Memory for these tests, in MiB, and where it ends on ARM.
const MEBIBYTES: u64 = 64;
pub const RAM_END: u64 = RAM + (MEBIBYTES << 20);

/// Bytes of the loader's own code, which is at the start of RAM.
const LOADER: u64 = 64;
/// What a device tree begins with.
const MAGIC: [u8; 4] = [0xd0, 0x0d, 0xfe, 0xed];

/// The type of the ELF note that has the entry (`XEN_ELFNOTE_PHYS32_ENTRY`).
const ENTRY_NOTE: u32 = 18;
/// The place of rbx among the registers, which has the address of start_info at the entry.
pub const RBX: usize = 1;

/// The memory of these tests, as QEMU is told of it.
pub fn memory() -> String {
    format!("{MEBIBYTES}M")
}

/// What the loader's code on ARM leads to.
pub struct Loaded {
    /// Where the code has the address of the device tree.
    pub pointer: u64,
    /// The device tree.
    pub tree: u64,
    /// The image.
    pub image: u64,
}

/// Where the loader has put the device tree and the image. Both addresses lie behind its code, that
/// of the image after that of the tree, in as many bytes as a register has.
///
/// # Errors
/// If its code is another one.
pub fn loaded(stub: &mut Stub, arch: Arch) -> Result<Loaded> {
    let width = if arch == Arch::Aarch64 { 8 } else { 4 };
    for pointer in (RAM..RAM + LOADER).step_by(4) {
        let mut at = |place| Ok::<_, anyhow::Error>(u32::from_le_bytes(stub.word(place)?).into());
        let (tree, image) = (at(pointer)?, at(pointer + width)?);
        if (RAM..RAM_END).contains(&tree) && stub.word(tree)? == MAGIC {
            ensure!((RAM..RAM_END).contains(&image), "the loader's code names no image");
            return Ok(Loaded { pointer, tree, image });
        }
    }
    bail!("the loader's code names no device tree")
}

/// Where the loader has put the start_info, now that the image is about to begin.
///
/// # Errors
/// If the image does not begin.
pub fn start_info(stub: &mut Stub, image: &Image) -> Result<u64> {
    let bytes = std::fs::read(&image.path)?;
    stub.run_to(entry(&bytes)?)?;
    stub.register(RBX)
}

/// Where an image begins, by its note.
fn entry(elf: &[u8]) -> Result<u64> {
    let file = ElfFile64::<Endianness>::parse(elf)?;
    let endian = file.endian();
    for segment in file.elf_header().program_headers(endian, elf)? {
        let Some(mut notes) = segment.notes(endian, elf)? else { continue };
        while let Some(note) = notes.next()? {
            if note.n_type(endian).0 == ENTRY_NOTE {
                let word = note.desc().first_chunk().context("the entry's note is short")?;
                return Ok(u32::from_le_bytes(*word).into());
            }
        }
    }
    bail!("the image has no entry for PVH")
}
