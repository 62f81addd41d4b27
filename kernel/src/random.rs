//! Random bytes that nobody can guess.
//!
//! A ChaCha20 generator, seeded from every source that the machine has: the processor's
//! instruction (RDRAND, RNDR), what the loader passed (device tree `rng-seed`), and entropy devices
//! such as virtio-rng. All of that happens when the generator is first asked for something, and the
//! answer of a device takes a little longer: [`ready`] waits for it, and so does a network when it
//! is started. It is seeded anew when an app asks for bytes and the last time was five minutes or a
//! megabyte ago.
//!
//! Without any source there is no generator: [`fill`] fails, and the log says what to do about it.

mod generator;
mod sources;

use core::{cell::Cell, fmt, future::poll_fn};

use alloc::{boxed::Box, vec::Vec};
use mayfly_device::{DeviceError, EntropySource};
use rand_core::{TryCryptoRng, TryRng};

use self::sources::Sources;
use crate::{
    devices::Found,
    executor::{self, Awaiting},
};

mayfly_arch::local! {
    static ORIGIN: Cell<Option<Origin>> = Cell::new(None);
}

mayfly_arch::local! {
    static SOURCES: Sources = Sources::new();
}

/// There is no source of randomness, or none has answered yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoEntropy;

impl fmt::Display for NoEntropy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(
            "no source of randomness; give the guest a virtio-rng device or a processor with \
             RDRAND or RNDR (-cpu max)",
        )
    }
}

impl core::error::Error for NoEntropy {}

/// Where the first seed comes from, until somebody asks for it.
struct Origin {
    loader: &'static [u8],
    devices: Vec<Found>,
}

impl Origin {
    /// Seeds the generator from what is at hand, the processor and the loader, and asks the devices.
    #[cold]
    fn seed(self) {
        SOURCES.with(|sources| sources.init(self.loader));
        start(self.devices.into_iter().filter_map(Found::start_entropy).collect());
    }
}

/// Calls `f` with the sources, which are seeded when that is called for the first time.
fn with<R>(f: impl FnOnce(&Sources) -> R) -> R {
    if let Some(origin) = ORIGIN.with(Cell::take) {
        origin.seed();
    }
    SOURCES.with(f)
}

/// Fills `bytes` with random bytes fit for keys. Await [`ready`] before the first time: if the only
/// source of randomness is a device, it has to answer first.
///
/// # Errors
/// When there is no source of randomness, or none has answered yet. `bytes` is unchanged then.
pub fn fill(bytes: &mut [u8]) -> Result<(), NoEntropy> {
    with(|sources| sources.fill(bytes))
}

/// Whether [`fill`] works.
pub fn is_seeded() -> bool {
    with(Sources::is_seeded)
}

/// Waits until [`fill`] works.
///
/// # Errors
/// When no source is left that could answer.
pub async fn ready() -> Result<(), NoEntropy> {
    poll_fn(|cx| {
        let ready = with(|sources| sources.poll_ready(cx));
        if ready.is_pending() {
            executor::describe(Awaiting::new("entropy from a device", 0));
        }
        ready
    })
    .await
}

/// A number to start counting from: from the generator if it is seeded, otherwise from the clock,
/// which **an attacker can guess**. For what only has to differ from the last time, such as port
/// and sequence numbers, and would rather be guessable than not work at all.
pub fn insecure_seed() -> u64 {
    let mut bytes = [0; 8];
    match fill(&mut bytes) {
        Ok(()) => u64::from_ne_bytes(bytes),
        Err(NoEntropy) => with(Sources::guessable),
    }
}

/// The system's generator for crates that take one.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemRandom;

impl TryRng for SystemRandom {
    type Error = NoEntropy;

    fn try_next_u32(&mut self) -> Result<u32, NoEntropy> {
        let mut bytes = [0; 4];
        fill(&mut bytes).map(|()| u32::from_ne_bytes(bytes))
    }

    fn try_next_u64(&mut self) -> Result<u64, NoEntropy> {
        let mut bytes = [0; 8];
        fill(&mut bytes).map(|()| u64::from_ne_bytes(bytes))
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), NoEntropy> {
        fill(bytes)
    }
}

impl TryCryptoRng for SystemRandom {}

/// Seeds the generator anew, if it was: what comes from it shall not be what another guest gets that
/// has the same memory. `hint` is something that differs.
pub(crate) fn renew(hint: Option<core::time::Duration>) {
    SOURCES.with(|sources| {
        if sources.is_seeded() {
            sources.absorb(&hint.map_or(0, |hint| hint.as_nanos()).to_le_bytes());
            sources.renew();
        }
    });
}

/// Takes note of where the first seed comes from: bytes from the loader, and entropy devices.
pub(crate) fn init(loader: &'static [u8], devices: Vec<Found>) {
    ORIGIN.with(|origin| origin.set(Some(Origin { loader, devices })));
}

/// Starts the task that asks `devices` for entropy, now and whenever the generator is to be seeded
/// anew. Says so in the log if there is no source at all.
fn start(devices: Vec<Box<dyn EntropySource>>) {
    if devices.is_empty() {
        if !is_seeded() {
            log::warn!("{NoEntropy}");
        }
        return;
    }
    SOURCES.with(|sources| sources.expect_devices(true));
    executor::spawn_essential("entropy", serve(devices)).detach();
}

/// Asks the devices for entropy whenever it is wanted, until none is left that works.
async fn serve(mut devices: Vec<Box<dyn EntropySource>>) {
    while !devices.is_empty() {
        let mut index = 0;
        while let Some(device) = devices.get_mut(index) {
            match seed_from(&mut **device).await {
                Ok(seed) => {
                    SOURCES.with(|sources| sources.absorb(&seed));
                    index += 1;
                }
                Err(error) => {
                    log::warn!("entropy device is not used any more: {error}");
                    drop(devices.swap_remove(index));
                }
            }
        }
        if devices.is_empty() {
            break;
        }
        poll_fn(|cx| {
            let wanted = SOURCES.with(|sources| sources.poll_wanted(cx));
            if wanted.is_pending() {
                executor::describe(Awaiting::new("a wish for entropy", 0));
            }
            wanted
        })
        .await;
    }
    SOURCES.with(|sources| sources.expect_devices(false));
    if !is_seeded() {
        log::warn!("{NoEntropy}");
    }
}

/// A whole seed from a device, which may answer with a byte at a time: less would be a seed that can
/// be guessed.
async fn seed_from(device: &mut dyn EntropySource) -> Result<generator::Seed, DeviceError> {
    let mut seed = [0; generator::SEED_SIZE];
    let mut filled = 0;
    while let Some(rest) = seed.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        let answer = poll_fn(|cx| {
            let answer = device.poll_fill(cx, rest);
            if answer.is_pending() {
                executor::describe(Awaiting::new("an entropy device", 0));
            }
            answer
        });
        filled += answer.await?;
    }
    Ok(seed)
}

#[cfg(test)]
mod tests;
