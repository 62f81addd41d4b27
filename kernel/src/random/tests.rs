//! The generator with sources played by the test. The host's processor gives none.

use alloc::boxed::Box;
use core::{
    task::{Context, Poll, Waker},
    time::Duration,
};

use mayfly_device::DeviceError;

use super::*;
use crate::time;

/// Answers the first time it is asked after `delay`, with `answer`.
struct Fake {
    delay: Duration,
    sleep: Option<core::pin::Pin<Box<time::Sleep>>>,
    answer: Result<u8, DeviceError>,
    /// Most bytes of an answer.
    most: usize,
}

impl EntropySource for Fake {
    fn poll_fill(
        &mut self,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<Result<usize, DeviceError>> {
        let sleep = self.sleep.get_or_insert_with(|| Box::pin(time::sleep(self.delay)));
        if sleep.as_mut().poll(cx).is_pending() {
            return Poll::Pending;
        }
        self.sleep = None;
        let byte = self.answer?;
        let count = buffer.len().min(self.most);
        buffer[..count].fill(byte);
        Poll::Ready(Ok(count))
    }
}

fn fake(answer: Result<u8, DeviceError>) -> Vec<Box<dyn EntropySource>> {
    fake_of(20, answer)
}

fn fake_of(most: usize, answer: Result<u8, DeviceError>) -> Vec<Box<dyn EntropySource>> {
    let delay = Duration::from_millis(1);
    alloc::vec![Box::new(Fake { delay, sleep: None, answer, most })]
}

fn sixteen() -> [u8; 16] {
    let mut bytes = [0; 16];
    fill(&mut bytes).unwrap();
    bytes
}

#[test]
fn without_a_source_there_is_no_randomness() {
    mayfly_arch::simulation::start();
    executor::run(async {
        start(Vec::new());
        assert_eq!(ready().await, Err(NoEntropy));
        assert_eq!(fill(&mut [0; 4]), Err(NoEntropy));
        assert!(!is_seeded());
        assert_eq!(SystemRandom.try_next_u32(), Err(NoEntropy));
    });
}

#[test]
fn a_seed_from_the_loader_is_enough() {
    SOURCES.with(|sources| sources.init(&[1; 8]));
    assert!(!is_seeded());
    SOURCES.with(|sources| sources.init(&[1; 32]));
    assert!(is_seeded());
    assert_ne!(sixteen(), sixteen());
    assert_ne!(insecure_seed(), insecure_seed());
}

#[test]
fn a_device_answers_later_and_when_asked_again() {
    mayfly_arch::simulation::start();
    executor::run(async {
        start(fake(Ok(7)));
        assert_eq!(fill(&mut [0; 4]), Err(NoEntropy));
        assert_eq!(ready().await, Ok(()));
        let mut without_new_seed = generator::Generator::new(&{
            let mut seed = [0; generator::SEED_SIZE];
            generator::mix(&mut seed, &[7; generator::SEED_SIZE]);
            seed
        });
        let mut expected = [0; 16];
        without_new_seed.fill(&mut expected);
        assert_eq!(sixteen(), expected);
        // Five minutes later, the next request wakes the device, and what comes after its answer
        // is different.
        time::sleep(Duration::from_secs(301)).await;
        sixteen();
        without_new_seed.fill(&mut expected);
        time::sleep(Duration::from_millis(10)).await;
        without_new_seed.fill(&mut expected);
        assert_ne!(sixteen(), expected);
    });
}

#[test]
fn less_than_a_seed_is_none() {
    mayfly_arch::simulation::start();
    executor::run(async {
        start(fake_of(1, Ok(7)));
        time::sleep(Duration::from_millis(31)).await;
        assert_eq!(fill(&mut [0; 4]), Err(NoEntropy));
        time::sleep(Duration::from_millis(31)).await;
        assert_eq!(fill(&mut [0; 4]), Ok(()));
    });
}

#[test]
fn a_device_that_fails_does_not_keep_anybody_waiting() {
    mayfly_arch::simulation::start();
    executor::run(async {
        start(fake(Err(DeviceError::Io)));
        assert_eq!(ready().await, Err(NoEntropy));
    });
}

#[test]
fn a_seed_ends_the_wait() {
    let sources = Sources::new();
    sources.expect_devices(true);
    let mut cx = Context::from_waker(Waker::noop());
    assert!(sources.poll_ready(&mut cx).is_pending());
    sources.absorb(&[3; 32]);
    assert_eq!(sources.poll_ready(&mut cx), Poll::Ready(Ok(())));
}

#[test]
fn seeds_differ_in_what_was_mixed() {
    let mut seed = [0; generator::SEED_SIZE];
    generator::mix(&mut seed, &[1; 64]);
    assert_eq!(seed, [0; 32], "a source that repeats itself gives nothing");
    generator::mix(&mut seed, &[1; 40]);
    assert_eq!((seed[0], seed[8]), (0, 1));
    assert_ne!(generator::scramble(0), generator::scramble(1));
}
