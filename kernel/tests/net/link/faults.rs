//! What goes wrong on the link.

use std::time::Duration;

/// What goes wrong on the link. Probabilities are per thousand frames.
#[derive(Clone, Copy, Debug)]
pub struct Faults {
    pub loss: u32,
    pub duplicate: u32,
    pub corrupt: u32,
    pub reorder: u32,
    /// Time that every frame takes.
    pub delay: Duration,
    /// Time that a reordered frame takes in addition, at most.
    pub jitter: Duration,
    /// Frames that may be under way in one direction before the device says that it is full.
    pub ring: usize,
    /// Whether the devices fill in checksums and cut long TCP packets into segments, with that
    /// many buffers for those.
    pub offload: Option<usize>,
    /// Frame buffers that each device has, if they are few. Those of frames that have left are then
    /// freed when the device is asked for room, and no earlier, as with a ring.
    pub few_buffers: Option<usize>,
}

impl Default for Faults {
    fn default() -> Self {
        Self {
            loss: 0,
            duplicate: 0,
            corrupt: 0,
            reorder: 0,
            delay: Duration::from_micros(50),
            jitter: Duration::from_millis(2),
            ring: 256,
            offload: None,
            few_buffers: None,
        }
    }
}

impl Faults {
    /// A link that is bad in some way, and loses up to so many frames of a thousand.
    pub fn random(dice: &mut Dice, loss: u64) -> Self {
        let mut up_to = |max: u64| dice.below(max + 1);
        Self {
            loss: up_to(loss) as u32,
            reorder: up_to(200) as u32,
            duplicate: up_to(50) as u32,
            corrupt: up_to(20) as u32,
            delay: Duration::from_micros(up_to(20_000)),
            jitter: Duration::from_micros(up_to(50_000)),
            ring: 4 + up_to(250) as usize,
            offload: (up_to(1) == 1).then(|| up_to(3) as usize),
            ..Self::default()
        }
    }
}

/// A generator of the SplitMix64 family.
pub struct Dice(pub u64);

impl Dice {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    pub(super) fn per_mille(&mut self, chance: u32) -> bool {
        chance > 0 && self.below(1000) < u64::from(chance)
    }
}
