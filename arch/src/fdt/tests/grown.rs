//! Trees that are made up at random, and what is in them.

use super::{
    super::nodes::MAX_DEPTH,
    damaged::Numbers,
    oracle::{NAMES, Seen},
};

/// The letters of names, of which nodes begin with one of the first 26 and have none of the last 2
/// (Devicetree Specification 0.4, 2.2.1 and 2.2.4).
const LETTERS: &[u8] = b"abcdefghijklmnopqrstuvwxyz0123456789ABCXYZ,._+-?#";

const BEGIN_NODE: u32 = 1;
const END_NODE: u32 = 2;
const PROPERTY: u32 = 3;
const NOP: u32 = 4;
const END: u32 = 9;

/// A tree that keeps all rules.
pub(super) struct Grown {
    pub bytes: Vec<u8>,
    /// What is in it.
    pub nodes: Vec<Seen>,
    /// Whether there is a token without meaning before or behind its root.
    pub has_nops_outside: bool,
}

/// A tree with up to some forty nodes.
pub(super) fn grow(numbers: &mut Numbers) -> Grown {
    let has_nops_outside = numbers.below(4) == 0;
    let mut grower =
        Grower { numbers, structure: Vec::new(), strings: Vec::new(), nodes: Vec::new() };
    if has_nops_outside {
        grower.word(NOP);
    }
    grower.node("", 0);
    if has_nops_outside {
        grower.word(NOP);
    }
    grower.word(END);
    Grown { bytes: grower.assembled(), nodes: grower.nodes, has_nops_outside }
}

struct Grower<'a> {
    numbers: &'a mut Numbers,
    structure: Vec<u8>,
    strings: Vec<u8>,
    nodes: Vec<Seen>,
}

impl Grower<'_> {
    fn word(&mut self, word: u32) {
        self.structure.extend(word.to_be_bytes());
    }

    /// Adds `bytes`, padded to whole words. What they are padded with means nothing.
    fn padded(&mut self, bytes: &[u8]) {
        self.structure.extend(bytes);
        while !self.structure.len().is_multiple_of(4) {
            self.structure.push(self.numbers.below(3) as u8);
        }
    }

    /// Adds a token, at times behind one without meaning.
    fn token(&mut self, token: u32) {
        while self.numbers.below(8) == 0 {
            self.word(NOP);
        }
        self.word(token);
    }

    fn node(&mut self, name: &str, depth: usize) {
        if depth == 0 {
            self.word(BEGIN_NODE)
        } else {
            self.token(BEGIN_NODE)
        }
        self.padded(&[name.as_bytes(), b"\0"].concat());
        let place = self.nodes.len();
        self.nodes.push((depth, name.into(), vec![None; NAMES.len()]));
        for _ in 0..self.numbers.below(6) {
            self.property(place);
        }
        // Some trees are as deep as may be, and none is much larger than those of QEMU.
        while depth + 1 < MAX_DEPTH && self.nodes.len() < 40 && self.numbers.below(5) != 0 {
            let mut name = self.name(20, 26, LETTERS.len() - 2);
            if self.numbers.below(2) == 0 {
                name += &format!("@{:x}", self.numbers.next());
            }
            self.node(&name, depth + 1);
        }
        self.token(END_NODE);
    }

    /// Adds a property to the node that is number `place`.
    fn property(&mut self, place: usize) {
        let known = self.numbers.below(2 * NAMES.len());
        let name = match NAMES.get(known) {
            Some((name, _)) => (*name).to_owned(),
            None => self.name(31, LETTERS.len(), LETTERS.len()),
        };
        let value: Vec<u8> =
            (0..self.numbers.below(20)).map(|_| self.numbers.next() as u8).collect();
        self.token(PROPERTY);
        self.word(value.len() as u32);
        let name = self.string(&name);
        self.word(name);
        self.padded(&value);
        if let Some(seen) = self.nodes[place].2.get_mut(known) {
            *seen = Some(value);
        }
    }

    /// A name of at most `longest` letters: the first of the first `first` ones, the others of the
    /// first `others`.
    fn name(&mut self, longest: usize, first: usize, others: usize) -> String {
        let mut letter = |of| char::from(LETTERS[self.numbers.below(of)]);
        let mut name = String::from(letter(first));
        (1..1 + self.numbers.below(longest)).for_each(|_| {
            name.push(char::from(LETTERS[self.numbers.below(others)]));
        });
        name
    }

    /// Where a name is in the strings block: where one stands already that ends so, or at the end.
    fn string(&mut self, name: &str) -> u32 {
        let text = [name.as_bytes(), b"\0"].concat();
        let known = self.strings.windows(text.len()).position(|there| there == text);
        let place = known.unwrap_or(self.strings.len());
        if known.is_none() {
            self.strings.extend(text);
        }
        place as u32
    }

    /// The blocks behind a header, in the order of the specification (5.1), with room between them.
    fn assembled(&mut self) -> Vec<u8> {
        let mut tree = vec![0; 40];
        let gap = |tree: &mut Vec<u8>, numbers: &mut Numbers| {
            tree.resize(tree.len().next_multiple_of(8) + 8 * numbers.below(2), 0);
            tree.len() as u32
        };
        let reservations = gap(&mut tree, self.numbers);
        for _ in 0..self.numbers.below(4) {
            let (address, size) = (self.numbers.next(), 1 + self.numbers.next() % 4096);
            tree.extend([address.to_be_bytes(), size.to_be_bytes()].as_flattened());
        }
        tree.extend([0; 16]);
        let structure = gap(&mut tree, self.numbers);
        tree.extend(&self.structure);
        let strings = gap(&mut tree, self.numbers);
        tree.extend(&self.strings);
        let total = gap(&mut tree, self.numbers);
        let sizes = [self.strings.len() as u32, self.structure.len() as u32];
        let header = [0xd00d_feed, total, structure, strings, reservations, 17, 16, 0];
        for (place, word) in tree.chunks_exact_mut(4).zip(header.into_iter().chain(sizes)) {
            place.copy_from_slice(&word.to_be_bytes());
        }
        tree
    }
}
