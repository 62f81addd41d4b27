//! Sources of randomness.

use core::task::{Context, Poll};

use crate::DeviceError;

/// A device that makes random bytes, such as virtio-rng.
pub trait EntropySource {
    /// Fills the start of `buffer` and returns how many bytes it filled, at least one. Asks the
    /// device when nothing was asked for yet; until it has answered, the task of `cx` is the one
    /// that is woken when it does.
    fn poll_fill(
        &mut self,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<Result<usize, DeviceError>>;
}
