//! Random numbers for ports and the like.

/// A sequence of numbers by the SplitMix64 function (Steele, Lea, Flood: "Fast splittable
/// pseudorandom number generators", 2014). Nobody outside sees a whole number of it, only ports and
/// what a hash does with it.
pub(super) struct Random(u64);

impl Random {
    /// The sequence of `seed`.
    pub(super) const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next number.
    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}
