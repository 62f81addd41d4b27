//! Sources of randomness.

use crate::DeviceError;

/// A device that makes random bytes, such as virtio-rng.
pub trait EntropySource {
    /// Fills the start of `buffer` and returns how many bytes it filled. May wait for the device
    /// for a bounded number of polls; it is called at start-up and when the generator is reseeded.
    fn fill(&mut self, buffer: &mut [u8]) -> Result<usize, DeviceError>;
}
