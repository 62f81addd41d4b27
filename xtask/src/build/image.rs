//! Writing the file that loaders take, from the ELF file that the linker made.

use anyhow::{Context, Result, bail, ensure};
use object::elf::{PT_LOAD, PT_NOTE};

use super::elf::{self, Segment};
use crate::arch::Arch;

/// The bytes of the image in the ELF file `linked`.
pub fn write(arch: Arch, linked: &[u8]) -> Result<Vec<u8>> {
    match arch {
        Arch::X86_64 => strip(linked),
        Arch::Aarch64 => {
            let mut image = flatten(linked)?;
            complete_image_header(&mut image, span(linked, "__image_end")?)?;
            Ok(image)
        }
        Arch::Armv7 => {
            let mut image = flatten(linked)?;
            complete_zimage_header(&mut image)?;
            Ok(image)
        }
    }
}

/// A 64-bit ELF file with nothing but what is loaded and the PVH note.
fn strip(linked: &[u8]) -> Result<Vec<u8>> {
    /// Bytes of the file header and of one program header (ELF-64 object file format, 1.5).
    const FILE_HEADER: usize = 64;
    const PROGRAM_HEADER: usize = 56;
    let all = elf::segments(linked)?;
    let loads: Vec<&Segment> = all.iter().filter(|one| one.kind == PT_LOAD.0).collect();
    let notes: Vec<&Segment> = all.iter().filter(|one| one.kind == PT_NOTE.0).collect();
    ensure!(!notes.is_empty(), "the image has no PVH note: the linker script must place it");
    let headers = loads.len() + notes.len();

    let mut image = linked.get(..FILE_HEADER).context("the ELF file is cut off")?.to_vec();
    // Program headers follow the file header; there are no section headers.
    image[32..40].copy_from_slice(&(FILE_HEADER as u64).to_le_bytes());
    image[40..48].fill(0);
    image[56..58].copy_from_slice(&u16::try_from(headers)?.to_le_bytes());
    image[58..64].fill(0);
    image.resize(FILE_HEADER + headers * PROGRAM_HEADER, 0);

    let mut placed: Vec<Segment> = Vec::new();
    for &load in &loads {
        // The file offset of a segment equals its address modulo the alignment.
        let align = load.align.max(1);
        let end = image.len() as u64;
        let offset = end + (load.address % align + align - end % align) % align;
        image.resize(usize::try_from(offset)?, 0);
        image.extend_from_slice(load.bytes(linked)?);
        placed.push(Segment { offset, ..load.clone() });
    }
    for &note in &notes {
        let holder = loads.iter().zip(&placed).find(|(load, _)| {
            load.offset <= note.offset
                && note.offset + note.file_size <= load.offset + load.file_size
        });
        let (load, moved) = holder.context("the PVH note is in no loaded segment")?;
        placed.push(Segment { offset: moved.offset + (note.offset - load.offset), ..note.clone() });
    }
    for (index, segment) in placed.iter().enumerate() {
        let start = FILE_HEADER + index * PROGRAM_HEADER;
        image[start..start + PROGRAM_HEADER].copy_from_slice(&program_header(segment));
    }
    Ok(image)
}

/// An ELF-64 program header.
fn program_header(segment: &Segment) -> [u8; 56] {
    let mut header = [0; 56];
    header[..4].copy_from_slice(&segment.kind.to_le_bytes());
    header[4..8].copy_from_slice(&segment.flags.to_le_bytes());
    let fields = [
        segment.offset,
        segment.address,
        segment.physical,
        segment.file_size,
        segment.memory_size,
        segment.align,
    ];
    for (field, value) in header[8..].chunks_exact_mut(8).zip(fields) {
        field.copy_from_slice(&value.to_le_bytes());
    }
    header
}

/// Bytes from the start of the image to the symbol `end`.
fn span(linked: &[u8], end: &str) -> Result<u64> {
    let file = object::File::parse(linked)?;
    let (start, end) = (elf::symbol(&file, "__image_start")?, elf::symbol(&file, end)?);
    end.checked_sub(start).context("the image ends before it starts")
}

/// The bytes of an image as they lie in memory, from `__image_start` to `__file_end`.
fn flatten(linked: &[u8]) -> Result<Vec<u8>> {
    let length = usize::try_from(span(linked, "__file_end")?)?;
    let start = elf::symbol(&object::File::parse(linked)?, "__image_start")?;
    let mut image = vec![0; length];
    for segment in elf::segments(linked)? {
        if segment.kind != PT_LOAD.0 || segment.file_size == 0 {
            continue;
        }
        let bytes = segment.bytes(linked)?;
        let offset = segment.address.checked_sub(start).map(usize::try_from).transpose()?;
        let place = offset
            .and_then(|offset| image.get_mut(offset..))
            .and_then(|rest| rest.get_mut(..bytes.len()));
        let Some(place) = place else {
            bail!(
                "the segment at {:#x} has bytes outside of __image_start..__file_end",
                segment.address
            );
        };
        place.copy_from_slice(bytes);
    }
    Ok(image)
}

/// Fills in the length in the header of an AArch64 image, if the assembly has left it open:
/// `image_size` is what the loader must keep free, the part behind the file included
/// (Linux, Documentation/arch/arm64/booting.rst).
fn complete_image_header(image: &mut [u8], memory_size: u64) -> Result<()> {
    ensure!(image.get(56..60) == Some(b"ARM\x64"), "the image has no AArch64 Image header");
    if image[16..24] == [0; 8] {
        image[16..24].copy_from_slice(&memory_size.to_le_bytes());
    }
    Ok(())
}

/// Fills in the end in the header of an ARMv7 zImage, if the assembly has left it open: the words
/// at 0x28 and 0x2c are the file's start, 0 for position-independent, and its end.
fn complete_zimage_header(image: &mut [u8]) -> Result<()> {
    const MAGIC: [u8; 4] = 0x016f_2818_u32.to_le_bytes();
    ensure!(image.get(0x24..0x28) == Some(&MAGIC), "the image has no zImage header");
    let end = u32::try_from(image.len()).context("the image is larger than 4 GiB")?;
    if image.get(0x2c..0x30) == Some(&[0; 4]) {
        image[0x2c..0x30].copy_from_slice(&end.to_le_bytes());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_open_image_size_is_filled_in_and_a_given_one_is_kept() {
        let mut image = vec![0; 64];
        assert!(complete_image_header(&mut image, 0x1_2000).is_err());
        image[56..60].copy_from_slice(b"ARM\x64");
        complete_image_header(&mut image, 0x1_2000).unwrap();
        complete_image_header(&mut image, 0x9_9999).unwrap();
        assert_eq!(image[16..24], 0x1_2000_u64.to_le_bytes());
    }

    #[test]
    fn an_open_zimage_end_is_filled_in() {
        let mut image = vec![0; 0x30];
        assert!(complete_zimage_header(&mut image).is_err());
        image[0x24..0x28].copy_from_slice(&[0x18, 0x28, 0x6f, 0x01]);
        complete_zimage_header(&mut image).unwrap();
        assert_eq!(image[0x2c..0x30], [0x30, 0, 0, 0]);
        assert!(complete_zimage_header(&mut [0; 8]).is_err());
    }
}
