//! The address that an image is linked at.

use std::io::Read;

use anyhow::{Context, Result};

use crate::arch::Arch;

/// Bytes of a page: the base is a multiple of it.
const PAGE: u64 = 4096;

/// The link address for `seed`, or a random one.
pub fn choose(arch: Arch, seed: Option<u64>) -> Result<u64> {
    let number = match seed {
        Some(seed) => scramble(seed),
        None => random()?,
    };
    let range = arch.base_range();
    let pages = (range.end - range.start) / PAGE;
    Ok(range.start + number % pages * PAGE)
}

/// A random number from the operating system.
fn random() -> Result<u64> {
    let mut bytes = [0; 8];
    std::fs::File::open("/dev/urandom")
        .and_then(|mut file| file.read_exact(&mut bytes))
        .context("cannot read /dev/urandom for a random link address; give one with --seed")?;
    Ok(u64::from_le_bytes(bytes))
}

/// Spreads seeds that people choose (1, 2, 3) over all numbers: the output function of SplitMix64
/// (Steele, Lea, Flood: Fast Splittable Pseudorandom Number Generators, 2014).
fn scramble(seed: u64) -> u64 {
    let z = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ z >> 31
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bases_are_pages_of_the_range_and_follow_the_seed() {
        for arch in Arch::ALL {
            for seed in 0..1000 {
                let base = choose(arch, Some(seed)).unwrap();
                assert!(arch.base_range().contains(&base) && base.is_multiple_of(PAGE));
                assert_eq!(choose(arch, Some(seed)).unwrap(), base);
            }
            assert_ne!(choose(arch, Some(1)).unwrap(), choose(arch, Some(2)).unwrap());
            assert!(arch.base_range().contains(&choose(arch, None).unwrap()));
        }
    }

    #[test]
    fn scrambling_is_splitmix64() {
        // First output of the published generator when its state is 0.
        assert_eq!(scramble(0), 0xe220_a839_7b1d_cdaf);
    }
}
