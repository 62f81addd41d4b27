//! Reading linked images.

use anyhow::{Context, Result, bail};
use object::elf::{FileHeader32, FileHeader64};
use object::read::elf::{FileHeader, ProgramHeader};
use object::{Architecture, Endianness, FileKind, Object, ObjectSymbol};

/// A program header of an ELF file, whatever its class.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Segment {
    /// `PT_LOAD`, `PT_NOTE`, …
    pub kind: u32,
    /// `PF_R`, `PF_W` and `PF_X`.
    pub flags: u32,
    /// Where its bytes start in the file.
    pub offset: u64,
    /// The address that it is linked at.
    pub address: u64,
    /// The address that a loader puts it at.
    pub physical: u64,
    /// Number of bytes in the file.
    pub file_size: u64,
    /// Number of bytes in memory; those beyond `file_size` are zero.
    pub memory_size: u64,
    /// Its alignment.
    pub align: u64,
}

impl Segment {
    /// The bytes that `file` has for the segment.
    pub fn bytes<'f>(&self, file: &'f [u8]) -> Result<&'f [u8]> {
        let start = usize::try_from(self.offset)?;
        let length = usize::try_from(self.file_size)?;
        file.get(start..).and_then(|rest| rest.get(..length)).context("the ELF file is cut off")
    }
}

/// The program headers of an ELF file.
pub fn segments(file: &[u8]) -> Result<Vec<Segment>> {
    match FileKind::parse(file)? {
        FileKind::Elf32 => segments_of::<FileHeader32<Endianness>>(file),
        FileKind::Elf64 => segments_of::<FileHeader64<Endianness>>(file),
        other => bail!("expected an ELF file, found {other:?}"),
    }
}

fn segments_of<H: FileHeader<Endian = Endianness>>(file: &[u8]) -> Result<Vec<Segment>> {
    let header = H::parse(file)?;
    let endian = header.endian()?;
    let headers = header.program_headers(endian, file)?;
    Ok(headers
        .iter()
        .map(|one| Segment {
            kind: one.p_type(endian).0,
            flags: one.p_flags(endian).0,
            offset: one.p_offset(endian).into(),
            address: one.p_vaddr(endian).into(),
            physical: one.p_paddr(endian).into(),
            file_size: one.p_filesz(endian).into(),
            memory_size: one.p_memsz(endian).into(),
            align: one.p_align(endian).into(),
        })
        .collect())
}

/// The address of the first instruction.
pub fn entry(file: &[u8]) -> Result<u64> {
    Ok(object::File::parse(file)?.entry())
}

/// The address of the first instruction of a function in `file`.
pub fn code_address(file: &object::File<'_>, function: &object::Symbol<'_, '_>) -> u64 {
    // ARM marks functions in Thumb code by an odd address.
    let even = if file.architecture() == Architecture::Arm { !1 } else { !0 };
    function.address() & even
}

/// The address of the symbol `name`, which the linker script defines.
pub fn symbol(file: &object::File<'_>, name: &str) -> Result<u64> {
    file.symbols()
        .find(|symbol| symbol.name() == Ok(name))
        .map(|symbol| symbol.address())
        .with_context(|| {
            format!("the linker script does not define {name}; see ARCHITECTURE.md, \"The image\"")
        })
}
