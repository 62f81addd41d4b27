//! What is done to trees, or undone, that one parser takes and another one refuses: see `oracle.rs`.

use vm_fdt::FdtWriter;

use super::node;

/// Numbers of words in the header (Devicetree Specification 0.4, 5.2).
const TOTAL: usize = 1;
const STRUCTURE: usize = 2;
const STRINGS: usize = 3;
pub(super) const RESERVATIONS: usize = 4;
const STRINGS_SIZE: usize = 8;
pub(super) const STRUCTURE_SIZE: usize = 9;

// Tokens (5.4.1).
const BEGIN_NODE: usize = 1;
const END_NODE: usize = 2;
const PROPERTY: usize = 3;
const NOP: usize = 4;
const END: usize = 9;

/// Word number `number`; 0 beyond the end.
fn word(tree: &[u8], number: usize) -> usize {
    let bytes = tree.get(4 * number..4 * number + 4);
    bytes.map_or(0, |bytes| u32::from_be_bytes(bytes.try_into().unwrap()) as usize)
}

fn set_word(tree: &mut [u8], number: usize, value: usize) {
    tree[4 * number..4 * number + 4].copy_from_slice(&(value as u32).to_be_bytes());
}

pub(super) fn add_to_word(tree: &mut [u8], number: usize, change: isize) {
    set_word(tree, number, word(tree, number).strict_add_signed(change));
}

/// Puts `new` in the place of `old`, which is as long.
pub(super) fn replace(tree: &mut [u8], old: &[u8], new: &[u8]) {
    let place = tree.windows(old.len()).position(|there| there == old).unwrap();
    tree[place..][..new.len()].copy_from_slice(new);
}

/// Adds a copy of the structure block at the end, which is used from then on.
pub(super) fn move_structure_to_end(tree: &mut Vec<u8>) {
    tree.resize(tree.len().next_multiple_of(4), 0);
    let end = tree.len();
    let start = word(tree, STRUCTURE);
    tree.extend_from_within(start..start + word(tree, STRUCTURE_SIZE));
    set_word(tree, STRUCTURE, end);
    let total = tree.len();
    set_word(tree, TOTAL, total);
}

/// Adds a name without an end to the strings block, which is the last one.
pub(super) fn open_end(tree: &mut Vec<u8>) {
    tree.push(b'x');
    add_to_word(tree, STRINGS_SIZE, 1);
    add_to_word(tree, TOTAL, 1);
}

/// Adds a node, with another one in it, and so on: so many.
pub(super) fn nest(writer: &mut FdtWriter, depth: usize) {
    if depth > 0 {
        node(writer, "nest", |writer| nest(writer, depth - 1));
    }
}

/// Ends the strings block behind its last zero byte. Returns whether that was something to be done.
pub(super) fn cut_open_end(tree: &mut [u8]) -> bool {
    let (start, size) = (word(tree, STRINGS), word(tree, STRINGS_SIZE));
    let Some(strings) = tree.get(start..start.saturating_add(size)) else { return false };
    let closed = strings.iter().rposition(|&byte| byte == 0).map_or(0, |last| last + 1);
    set_word(tree, STRINGS_SIZE, closed);
    closed != size
}

/// Has the structure block go on to the end of the tree. Returns whether that was something to be
/// done.
pub(super) fn lengthen_structure(tree: &mut [u8]) -> bool {
    let size = tree.len().saturating_sub(word(tree, STRUCTURE)) & !3;
    let before = word(tree, STRUCTURE_SIZE);
    set_word(tree, STRUCTURE_SIZE, size);
    before != size
}

/// Removes the NOPs before and behind the root. Returns whether there were some.
pub(super) fn remove_nops_outside(tree: &mut [u8]) -> bool {
    let start = word(tree, STRUCTURE) / 4;
    let root = start + (start..).take_while(|&place| word(tree, place) == NOP).count();
    set_word(tree, STRUCTURE, 4 * root);
    let size = word(tree, STRUCTURE_SIZE).saturating_sub(4 * (root - start));
    set_word(tree, STRUCTURE_SIZE, size);
    let behind = behind_root(tree, root);
    let is_nop_behind = word(tree, behind) == NOP;
    if is_nop_behind {
        set_word(tree, behind, END);
    }
    root > start || is_nop_behind
}

/// The number of the word behind the root, which begins with word `place`. The tree is one that a
/// parser takes.
fn behind_root(tree: &[u8], mut place: usize) -> usize {
    let mut depth = 0;
    loop {
        place += 1;
        match word(tree, place - 1) {
            BEGIN_NODE => {
                let name = &tree[4 * place..];
                place += name.iter().take_while(|&&byte| byte != 0).count() / 4 + 1;
                depth += 1;
            }
            END_NODE => depth -= 1,
            PROPERTY => place += 2 + word(tree, place).div_ceil(4),
            NOP => {}
            token => panic!("token {token} in the root"),
        }
        if depth == 0 {
            return place;
        }
    }
}
