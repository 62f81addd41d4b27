//! The nodes of a tree, in the tree's order.
//!
//! One pass over the structure block, in which every step is checked. The `fdt` crate's iterators
//! go over every property three times and scan every name twice; on QEMU's tree that makes 195,000
//! instructions on the host, this 42,000, and boot time is counted.
//!
//! Format: Devicetree Specification 0.4, section 5.4.

use zerocopy::IntoBytes;

use super::{
    FdtError,
    blocks::Blocks,
    names::{Name, NameCache, Properties},
};

/// Most nodes in each other, the root included. QEMU's trees have 6.
pub(super) const MAX_DEPTH: usize = 16;

const BEGIN_NODE: u32 = 1;
const END_NODE: u32 = 2;
const PROPERTY: u32 = 3;
const NOP: u32 = 4;
const END: u32 = 9;

/// A node and those of its properties that discovery looks at.
#[derive(Default)]
pub(super) struct Node {
    /// How many nodes it lies in; 0 for the root.
    pub depth: usize,
    /// With the unit address: `virtio_mmio@a000000`.
    pub name: &'static [u8],
    pub properties: Properties,
}

/// Goes from node to node.
pub(super) struct Nodes {
    /// The structure block from the current token on.
    rest: &'static [u32],
    strings: &'static [u8],
    names: NameCache,
    /// How many nodes are open.
    open: usize,
    root_seen: bool,
}

impl Nodes {
    pub fn new(blocks: &Blocks) -> Self {
        Self {
            rest: blocks.structure,
            strings: blocks.strings,
            names: NameCache::new(),
            open: 0,
            root_seen: false,
        }
    }

    /// Puts the next node in `node` (in place, because moving so many slices costs); `false` at
    /// the end of the tree. After an error there is nothing more to be had from the tree.
    pub fn next(&mut self, node: &mut Node) -> Result<bool, FdtError> {
        loop {
            match self.token()? {
                END_NODE if self.open > 0 => self.open -= 1,
                BEGIN_NODE if self.open > 0 || !self.root_seen => break,
                END if self.open == 0 && self.root_seen => return Ok(false),
                _ => return Err(FdtError::BadStructure),
            }
        }
        self.root_seen = true;
        node.depth = self.open;
        self.open += 1;
        if self.open > MAX_DEPTH {
            return Err(FdtError::TooDeep);
        }
        node.name = self.name().ok_or(FdtError::BadStructure)?;
        node.properties = Properties::default();
        self.properties(&mut node.properties)?;
        Ok(true)
    }

    /// Takes the next token that means something.
    fn token(&mut self) -> Result<u32, FdtError> {
        loop {
            let (&token, rest) = self.rest.split_first().ok_or(FdtError::BadStructure)?;
            self.rest = rest;
            match u32::from_be(token) {
                NOP => {}
                token => return Ok(token),
            }
        }
    }

    /// Takes a node's name, which ends with a zero byte and is padded to whole words.
    fn name(&mut self) -> Option<&'static [u8]> {
        let last = self.rest.iter().position(|&word| has_zero_byte(word))?;
        let (name, rest) = self.rest.split_at_checked(last + 1)?;
        self.rest = rest;
        let end = name.last()?.to_ne_bytes().iter().position(|&byte| byte == 0)?;
        name.as_bytes().get(..last * 4 + end)
    }

    /// Takes all properties of the node whose name was just taken.
    fn properties(&mut self, properties: &mut Properties) -> Result<(), FdtError> {
        loop {
            let before = self.rest;
            if self.token()? != PROPERTY {
                self.rest = before;
                return Ok(());
            }
            let (name, value) = self.property().ok_or(FdtError::BadProperty)?;
            properties.set(name, value);
        }
    }

    /// Takes a property behind its token: length, offset of the name, value padded to whole words.
    fn property(&mut self) -> Option<(Name, &'static [u8])> {
        let (&[length, name], rest) = self.rest.split_first_chunk()?;
        let length = u32::from_be(length) as usize;
        let (value, rest) = rest.split_at_checked(length.div_ceil(4))?;
        self.rest = rest;
        let name = self.names.name_at(u32::from_be(name), self.strings)?;
        Some((name, value.as_bytes().get(..length)?))
    }
}

/// Whether one of the word's bytes is zero: only there does subtracting one from each byte carry
/// into a high bit that was not set.
fn has_zero_byte(word: u32) -> bool {
    word.wrapping_sub(0x0101_0101) & !word & 0x8080_8080 != 0
}
