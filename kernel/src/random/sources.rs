//! The generator's state, and when it is to be seeded anew.

use core::{
    cell::{Cell, RefCell},
    task::{Context, Poll, Waker},
};

use alloc::vec::Vec;
use mayfly_arch::{clock, cpu};

use super::{
    NoEntropy,
    generator::{Generator, SEED_SIZE, Seed, mix, scramble},
};

/// When bytes are asked for this long after the last seed, in nanoseconds, a new one is wanted.
const RESEED_AFTER: u64 = 300 * 1_000_000_000;

/// As many bytes from one seed.
const RESEED_BYTES: u64 = 1 << 20;

/// How often the processor's instruction is tried for one word: it may fail for a moment.
const HARDWARE_TRIES: usize = 10;

/// The generator and its sources.
pub(super) struct Sources {
    generator: RefCell<Option<Generator>>,
    /// Time of the last seed, in nanoseconds.
    seeded_at: Cell<u64>,
    /// Bytes that were filled since.
    filled: Cell<u64>,
    /// A seed from a device is wanted.
    wanted: Cell<bool>,
    /// The task that asks the devices, when it waits for that.
    asker: Cell<Option<Waker>>,
    /// Devices may still answer.
    devices: Cell<bool>,
    /// The tasks that wait for the first seed.
    waiting: RefCell<Vec<Waker>>,
    /// The last number that an attacker could guess.
    guessable: Cell<u64>,
}

impl Sources {
    pub(super) const fn new() -> Self {
        Self {
            generator: RefCell::new(None),
            seeded_at: Cell::new(0),
            filled: Cell::new(0),
            wanted: Cell::new(false),
            asker: Cell::new(None),
            devices: Cell::new(false),
            waiting: RefCell::new(Vec::new()),
            guessable: Cell::new(0),
        }
    }

    /// Seeds the generator from the processor and the loader, if they give anything.
    pub(super) fn init(&self, loader: &[u8]) {
        let mut seed = [0; SEED_SIZE];
        mix(&mut seed, loader);
        let processor = hardware_seed();
        mix(&mut seed, processor.as_ref().map_or(&[], |seed| seed.as_slice()));
        if processor.is_some() || loader.len() >= SEED_SIZE / 2 {
            self.absorb(&seed);
        }
    }

    pub(super) fn is_seeded(&self) -> bool {
        self.generator.borrow().is_some()
    }

    /// Takes a source's bytes in. The first ones make the generator.
    pub(super) fn absorb(&self, bytes: &[u8]) {
        let mut seed = [0; SEED_SIZE];
        mix(&mut seed, bytes);
        let mut generator = self.generator.borrow_mut();
        match generator.as_mut() {
            Some(generator) => generator.reseed(&seed),
            None => *generator = Some(Generator::new(&seed)),
        }
        self.seeded_at.set(clock::now());
        self.filled.set(0);
        self.waiting.take().into_iter().for_each(Waker::wake);
    }

    /// Whether devices may still answer. When they cannot any more, who waits is told.
    pub(super) fn expect_devices(&self, devices: bool) {
        self.devices.set(devices);
        if !devices {
            self.waiting.take().into_iter().for_each(Waker::wake);
        }
    }

    /// Ready when the generator is seeded, or will never be.
    pub(super) fn poll_ready(&self, cx: &mut Context<'_>) -> Poll<Result<(), NoEntropy>> {
        if self.is_seeded() {
            return Poll::Ready(Ok(()));
        }
        if !self.devices.get() {
            return Poll::Ready(Err(NoEntropy));
        }
        self.waiting.borrow_mut().push(cx.waker().clone());
        Poll::Pending
    }

    /// Fills `bytes`.
    pub(super) fn fill(&self, bytes: &mut [u8]) -> Result<(), NoEntropy> {
        let is_stale = self.filled.get() >= RESEED_BYTES
            || clock::now().saturating_sub(self.seeded_at.get()) >= RESEED_AFTER;
        if is_stale && self.is_seeded() {
            self.renew();
        }
        let mut generator = self.generator.borrow_mut();
        generator.as_mut().ok_or(NoEntropy)?.fill(bytes);
        self.filled.set(self.filled.get().saturating_add(bytes.len() as u64));
        Ok(())
    }

    /// A number from the clock and the numbers before it.
    pub(super) fn guessable(&self) -> u64 {
        let next = scramble(self.guessable.get() ^ clock::now());
        self.guessable.set(next);
        next
    }

    /// Seeds the generator anew from the processor, and wishes for an answer of the devices.
    pub(super) fn renew(&self) {
        match hardware_seed() {
            Some(seed) => self.absorb(&seed),
            None => {
                // Not to come here for every byte until a device answers.
                self.seeded_at.set(clock::now());
                self.filled.set(0);
            }
        }
        self.wanted.set(true);
        if let Some(asker) = self.asker.take() {
            asker.wake();
        }
    }

    /// Ready when a seed from the devices is wanted.
    pub(super) fn poll_wanted(&self, cx: &mut Context<'_>) -> Poll<()> {
        if self.wanted.take() {
            return Poll::Ready(());
        }
        self.asker.set(Some(cx.waker().clone()));
        Poll::Pending
    }
}

/// A seed from the processor's instruction, if it has one that works.
fn hardware_seed() -> Option<Seed> {
    let mut seed = [0; SEED_SIZE];
    for place in seed.as_chunks_mut().0 {
        let word = (0..HARDWARE_TRIES).find_map(|_| cpu::hardware_random())?;
        *place = word.to_le_bytes();
    }
    Some(seed)
}
