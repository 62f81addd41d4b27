//! The generator: ChaCha20 with the last seed.

use chacha20::ChaCha20Rng;
use rand_core::{Rng, SeedableRng};

/// Bytes in a seed.
pub(super) const SEED_SIZE: usize = 32;

/// A seed that takes in what the sources give.
pub(super) type Seed = [u8; SEED_SIZE];

/// Random bytes from a seed.
pub(super) struct Generator(ChaCha20Rng);

impl Generator {
    /// A generator from the first seed.
    pub(super) fn new(seed: &Seed) -> Self {
        Self(ChaCha20Rng::from_seed(*seed))
    }

    /// Goes on from what it has and from `seed`: whoever knows one of the two knows nothing about
    /// what comes.
    pub(super) fn reseed(&mut self, seed: &Seed) {
        let mut next = [0; SEED_SIZE];
        self.0.fill_bytes(&mut next);
        mix(&mut next, seed);
        self.0 = ChaCha20Rng::from_seed(next);
    }

    /// Fills `bytes`.
    pub(super) fn fill(&mut self, bytes: &mut [u8]) {
        self.0.fill_bytes(bytes);
    }
}

/// Takes `bytes` into a seed, wrapping round at its end. The sources are independent of each other,
/// so that their sum is as hard to guess as the best of them.
pub(super) fn mix(seed: &mut Seed, bytes: &[u8]) {
    for chunk in bytes.chunks(SEED_SIZE) {
        for (to, from) in seed.iter_mut().zip(chunk) {
            *to ^= from;
        }
    }
}

/// Spreads the bits of a number (the output function of SplitMix64: Steele, Lea, Flood, "Fast
/// splittable pseudorandom number generators", 2014).
pub(super) fn scramble(number: u64) -> u64 {
    let mut z = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ z >> 31
}
