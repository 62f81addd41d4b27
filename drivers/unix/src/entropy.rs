//! getrandom(2).

use std::task::{Context, Poll};

use mayfly_device::{DeviceError, EntropySource};
use rustix::rand::{GetRandomFlags, getrandom};

/// The host's random number generator.
#[derive(Debug, Default)]
pub struct Getrandom;

impl EntropySource for Getrandom {
    fn poll_fill(
        &mut self,
        _cx: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<Result<usize, DeviceError>> {
        Poll::Ready(getrandom(buffer, GetRandomFlags::empty()).map_err(|_| DeviceError::Io))
    }
}

/// Random bytes for a start.
pub(crate) fn seed() -> [u8; 32] {
    let mut seed = [0; 32];
    // It fails only on kernels without the call; then the guest has no seed, and says so.
    let _ = getrandom(&mut seed, GetRandomFlags::empty());
    seed
}
