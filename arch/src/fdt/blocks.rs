//! The header of a tree and the blocks that it points to.
//!
//! The `fdt` crate's fallible interface returns errors for what it notices, but its arithmetic on
//! header fields assumes that they make sense; here is what it assumes, checked.
//!
//! Format: Devicetree Specification 0.4, section 5.2.

use fdt::Fdt;
use zerocopy::FromBytes;

use super::FdtError;

/// Start of every tree.
const MAGIC: u32 = 0xd00d_feed;
/// Ten words.
const HEADER_SIZE: u32 = 40;
/// A header and the smallest structure block: a root node without anything in it.
const SMALLEST_TREE: u32 = HEADER_SIZE + 16;
/// Largest tree that the boot protocol of 64-bit ARM allows. QEMU's own trees are half of it. One that
/// `dumpdtb` wrote and `-dtb` gives back is larger, because QEMU doubles it, and is refused:
/// `dtc -I dtb -O dtb` takes what is unused out of it.
const LARGEST_TREE: u32 = 2 << 20;
/// The version that has the size of the structure block in its header; the last since 2005.
const VERSION: u32 = 17;

/// Size in bytes of the tree that starts with `header`, for the code that maps it.
///
/// # Errors
/// [`FdtError::NotATree`] and [`FdtError::BadSize`].
pub fn total_size(header: &[u8; 8]) -> Result<usize, FdtError> {
    let [a, b, c, d, size @ ..] = *header;
    if u32::from_be_bytes([a, b, c, d]) != MAGIC {
        return Err(FdtError::NotATree);
    }
    let size = u32::from_be_bytes(size);
    if !(SMALLEST_TREE..=LARGEST_TREE).contains(&size) {
        return Err(FdtError::BadSize);
    }
    Ok(size as usize)
}

/// How many bytes of a tree that [`discover`](super::discover) has accepted hold anything: QEMU
/// makes its trees 1 MiB long and uses a few KiB. All of it, if the header is not consistent.
pub fn used_size(tree: &[u8]) -> usize {
    let Some(words) = tree.as_chunks::<4>().0.first_chunk::<10>() else { return tree.len() };
    let [_, total, structure, strings, reservations, _, _, _, strings_size, structure_size] =
        words.map(|word| u64::from(u32::from_be_bytes(word)));
    // The size of the reservation block is not in the header. Nobody puts it last.
    if reservations >= structure.min(strings) {
        return tree.len();
    }
    let used = (structure + structure_size).max(strings + strings_size);
    usize::try_from(used.min(total)).map_or(tree.len(), |used| used.min(tree.len()))
}

/// Where the parts of a tree are.
pub(super) struct Blocks {
    /// The nodes, as big-endian words.
    pub structure: &'static [u32],
    /// The names of properties; empty, or ends with a zero byte.
    pub strings: &'static [u8],
    /// The memory reservation block, and what lies between it and the next one.
    pub reservations: &'static [u8],
}

/// Finds the blocks of the tree at the start of `bytes`.
pub(super) fn locate(bytes: &'static [u8]) -> Result<Blocks, FdtError> {
    let start = bytes.first_chunk::<8>().ok_or(FdtError::Truncated)?;
    let bytes = bytes.get(..total_size(start)?).ok_or(FdtError::Truncated)?;
    check_header(bytes)?;

    let tree = Fdt::new_unaligned_fallible(bytes).map_err(|_| FdtError::BadHeader)?;
    let strings = tree.strings_block();
    if strings.last().is_some_and(|&last| last != 0) {
        return Err(FdtError::BadProperty);
    }
    let structure =
        <[u32]>::ref_from_bytes(tree.structs_block()).map_err(|_| FdtError::Misaligned)?;
    let header = tree.header();
    let reservations = header.memory_reserve_map_offset as usize;
    // Its size is nowhere. It ends before the next block, even if nothing in it says so.
    let others = [header.structs_offset as usize, header.strings_offset as usize, bytes.len()];
    let end = others.into_iter().filter(|&other| other > reservations).min();
    let reservations = bytes.get(reservations..end.unwrap_or(0)).ok_or(FdtError::BadHeader)?;
    Ok(Blocks { structure, strings, reservations })
}

/// Checks the version, and that every block lies in the tree.
fn check_header(tree: &[u8]) -> Result<(), FdtError> {
    let words = tree.as_chunks::<4>().0.first_chunk::<10>().ok_or(FdtError::Truncated)?;
    let [
        _,
        _,
        structure,
        strings,
        reservations,
        version,
        compatible,
        _,
        strings_size,
        structure_size,
    ] = words.map(u32::from_be_bytes);
    if version < VERSION || compatible > VERSION {
        return Err(FdtError::UnsupportedVersion);
    }
    let inside = |offset: u32, size: u32| {
        let end = offset.checked_add(size).map(|end| end as usize);
        offset >= HEADER_SIZE && end.is_some_and(|end| end <= tree.len())
    };
    let plausible = structure_size.is_multiple_of(4)
        && inside(structure, structure_size)
        && inside(strings, strings_size)
        && inside(reservations, 16);
    if plausible { Ok(()) } else { Err(FdtError::BadHeader) }
}
