//! Validation of a tree, before the `fdt` crate sees it.
//!
//! The crate's fallible interface returns errors for what it notices, but its arithmetic on the
//! header and on block lengths assumes a consistent tree, and it ends its walk without a word at
//! unbalanced nodes. Here is what it assumes, checked: one pass over the tokens, no allocation,
//! at most as many steps as the structure block has words.
//!
//! Format: Devicetree Specification 0.4, chapter 5.

use super::error::FdtError;

/// Start of every tree.
const MAGIC: u32 = 0xd00d_feed;
/// Ten words of header.
const HEADER_SIZE: u32 = 40;
/// A header and the smallest structure block: a root node without anything in it.
const SMALLEST_TREE: u32 = HEADER_SIZE + 16;
/// Largest tree that the boot protocol of 64-bit ARM allows; QEMU's trees are half of it.
const LARGEST_TREE: u32 = 2 << 20;
/// The version that has the size of the structure block in the header; the last since 2005.
const VERSION: u32 = 17;
/// Most nodes in each other, the root included; what the crate can follow.
pub(super) const MAX_DEPTH: usize = 16;

const BEGIN_NODE: u32 = 1;
const END_NODE: u32 = 2;
const PROPERTY: u32 = 3;
const NOP: u32 = 4;
const END: u32 = 9;

/// The words of the header that are used, in host byte order.
struct Header {
    total_size: u32,
    structure: (u32, u32),
    strings: (u32, u32),
    reservations: u32,
}

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

/// A tree that passed all checks.
pub(super) struct Checked {
    /// The tree as words, without what lies behind it.
    pub words: &'static [u32],
    /// The memory reservation block and everything after it.
    pub reservations: &'static [u8],
}

/// Checks everything that the crate takes for granted.
pub(super) fn check(tree: &'static [u8]) -> Result<Checked, FdtError> {
    let start = tree.first_chunk::<8>().ok_or(FdtError::Truncated)?;
    let size = total_size(start)?;
    let tree = tree.get(..size).ok_or(FdtError::Truncated)?;
    let (words, _) = zerocopy::FromBytes::ref_from_prefix_with_elems(tree, size / 4)
        .map_err(|_| FdtError::Misaligned)?;
    let words: &'static [u32] = words;

    let header = header(words).ok_or(FdtError::Truncated)??;
    let strings = block(tree, header.strings)?;
    let structure = header.structure;
    if structure.0 % 4 != 0 || structure.1 % 4 != 0 {
        return Err(FdtError::BadHeader);
    }
    block(tree, structure)?;
    let structure = words
        .get(structure.0 as usize / 4..)
        .and_then(|rest| rest.get(..structure.1 as usize / 4))
        .ok_or(FdtError::BadHeader)?;
    check_structure(structure, strings)?;

    let reservations = tree.get(header.reservations as usize..).ok_or(FdtError::BadHeader)?;
    Ok(Checked { words, reservations })
}

/// Reads and checks the header; `None` if there are too few words.
fn header(words: &[u32]) -> Option<Result<Header, FdtError>> {
    let words = words.first_chunk::<10>()?.map(u32::from_be);
    let [_, total_size, structure, strings, reservations, version, compatible, _, strings_size, structure_size] =
        words;
    if version < VERSION || compatible > VERSION {
        return Some(Err(FdtError::UnsupportedVersion));
    }
    let header = Header {
        total_size,
        structure: (structure, structure_size),
        strings: (strings, strings_size),
        reservations,
    };
    let offsets = [structure, strings, reservations];
    let plausible = offsets.iter().all(|&offset| offset >= HEADER_SIZE && offset <= header.total_size);
    Some(if plausible { Ok(header) } else { Err(FdtError::BadHeader) })
}

/// The block at `(offset, size)` of the tree.
fn block(tree: &'static [u8], (offset, size): (u32, u32)) -> Result<&'static [u8], FdtError> {
    let end = offset.checked_add(size).ok_or(FdtError::BadHeader)?;
    tree.get(offset as usize..end as usize).ok_or(FdtError::BadHeader)
}

/// Checks that nodes are balanced under one root, that properties come before child nodes, that
/// names and values lie inside, and that the end token is the last word.
fn check_structure(mut words: &[u32], strings: &[u8]) -> Result<(), FdtError> {
    // Every name then ends inside the block, wherever it starts.
    if strings.last().is_some_and(|&last| last != 0) {
        return Err(FdtError::BadProperty);
    }
    let mut depth = 0;
    let mut root_seen = false;
    let mut properties_allowed = false;
    loop {
        let (&token, rest) = words.split_first().ok_or(FdtError::BadStructure)?;
        words = rest;
        match u32::from_be(token) {
            NOP => {}
            PROPERTY if properties_allowed => words = skip_property(words, strings)?,
            BEGIN_NODE if depth > 0 || !root_seen => {
                depth += 1;
                if depth > MAX_DEPTH {
                    return Err(FdtError::TooDeep);
                }
                (root_seen, properties_allowed) = (true, true);
                words = skip_name(words).ok_or(FdtError::BadStructure)?;
            }
            END_NODE if depth > 0 => {
                depth -= 1;
                properties_allowed = false;
            }
            END if depth == 0 && root_seen && words.is_empty() => return Ok(()),
            _ => return Err(FdtError::BadStructure),
        }
    }
}

/// What follows a node's name, which ends with a zero byte and is padded to whole words.
fn skip_name(words: &[u32]) -> Option<&[u32]> {
    let last = words.iter().position(|word| word.to_ne_bytes().contains(&0))?;
    words.get(last.checked_add(1)?..)
}

/// What follows a property: length, offset of the name, value padded to whole words.
fn skip_property<'a>(words: &'a [u32], strings: &[u8]) -> Result<&'a [u32], FdtError> {
    let (&[length, name], value) = words.split_first_chunk().ok_or(FdtError::BadProperty)?;
    if u32::from_be(name) as usize >= strings.len() {
        return Err(FdtError::BadProperty);
    }
    value.get(u32::from_be(length).div_ceil(4) as usize..).ok_or(FdtError::BadProperty)
}
