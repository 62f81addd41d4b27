//! Trees with random damage: never a panic, never a walk without end.
//!
//! Tests run with overflow checks, so an addition that wraps is a panic too.

use super::{
    super::{FdtError, discover},
    aligned,
    qemu::{MACHINES, load},
};

/// A generator of numbers (xorshift64*), so that every run sees the same mutants.
pub(super) struct Numbers(pub u64);

impl Numbers {
    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    pub fn below(&mut self, limit: usize) -> usize {
        (self.next() % limit as u64) as usize
    }
}

/// A copy of `tree` with one to eight changes, of the kinds that hurt parsers most; every tenth
/// is cut off.
pub(super) fn mutant(tree: &[u8], numbers: &mut Numbers) -> Vec<u8> {
    let mut copy = tree.to_vec();
    for _ in 0..=numbers.below(8) {
        // Half of the damage goes to the header and the first nodes.
        let reach = if numbers.below(2) == 0 { copy.len().min(512) } else { copy.len() };
        let word = numbers.below(reach) & !3;
        let place = &mut copy[word..word + 4];
        match numbers.below(6) {
            0 => place[numbers.below(4)] ^= 1 << numbers.below(8),
            1 => place[numbers.below(4)] = numbers.next() as u8,
            2 => place.fill(0xff),
            3 => place.fill(0),
            4 => place.copy_from_slice(&(numbers.below(10) as u32).to_be_bytes()),
            _ => place.copy_from_slice(&(numbers.below(0x4000) as u32).to_be_bytes()),
        }
    }
    if numbers.below(10) == 0 {
        copy.truncate(numbers.below(copy.len()));
    }
    copy
}

#[test]
fn twenty_thousand_mutants() {
    let trees: Vec<_> = MACHINES.iter().map(|machine| load(machine.name)).collect();
    let mut numbers = Numbers(0x6d61_7966_6c79);
    let mut good = 0;
    for round in 0..20_000 {
        let copy = mutant(&trees[round % trees.len()], &mut numbers);
        let tree = aligned(&copy);
        good += usize::from(discover(tree).is_ok());
    }
    // The mutants are of use only if neither outcome is rare.
    assert!((2_000..18_000).contains(&good), "{good} of 20,000 were still trees");
}

#[test]
fn every_truncation_is_an_error() {
    let tree = load("v7-gic2");
    // The last bytes are padding.
    for length in 0..tree.len() - 3 {
        let mut copy = tree[..length].to_vec();
        assert_eq!(discover(aligned(&copy)).unwrap_err(), FdtError::Truncated);
        // The same with a header that owns up to it.
        if let Some(size) = copy.get_mut(4..8) {
            size.copy_from_slice(&(length as u32).to_be_bytes());
            assert!(discover(aligned(&copy)).is_err());
        }
    }
}
