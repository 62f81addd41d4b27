//! The time of day, on the page of information that Xen shares with a guest.

use core::sync::atomic::AtomicU32;
#[cfg(any(test, target_os = "none"))]
use core::sync::atomic::{Ordering, fence};

use spin::Once;

/// The words of `struct shared_info`, which Xen writes.
pub type SharedInfo = [AtomicU32; 1024];

/// Reads of what Xen writes until it is found at rest. Xen writes it in no time, and seldom.
#[cfg(any(test, target_os = "none"))]
const TRIES: u32 = 100;

/// The page of shared information, and where in it the time of day is.
static SHARED_INFO: Once<(&'static SharedInfo, usize)> = Once::new();

/// Asks this page for the time of day from now on; `wall_clock` is where it is there, in bytes.
pub fn use_shared_info(page: &'static SharedInfo, wall_clock: usize) {
    SHARED_INFO.call_once(|| (page, wall_clock));
}

/// The page of shared information, and where in it the time of day is, once somebody has found it.
#[cfg(target_os = "none")]
pub(crate) fn shared_info() -> Option<(&'static SharedInfo, usize)> {
    SHARED_INFO.get().copied()
}

/// Nanoseconds since 1970-01-01 00:00 UTC. `None` if nobody has found the page, or if Xen does not
/// know.
#[cfg(target_os = "none")]
pub(crate) fn wall_clock() -> Option<u64> {
    let (page, offset) = shared_info()?;
    // wc_version, wc_sec, wc_nsec, wc_sec_hi: when the system time was 0.
    let [seconds, nanoseconds, high] = read_versioned(page, offset)?;
    let seconds = u64::from(seconds) | u64::from(high) << 32;
    let at_zero = seconds.checked_mul(1_000_000_000)?.checked_add(nanoseconds.into())?;
    if seconds == 0 {
        return None;
    }
    at_zero.checked_add(crate::machine::clock::xen_system_time(page)?)
}

/// The words after the one at `offset` bytes, which is odd while Xen writes them and another one
/// afterwards.
#[cfg(any(test, target_os = "none"))]
pub(crate) fn read_versioned<const N: usize>(page: &SharedInfo, offset: usize) -> Option<[u32; N]> {
    let (version, words) = page.get(offset / 4..)?.split_first()?;
    for _ in 0..TRIES {
        let before = version.load(Ordering::Acquire);
        let mut values = [0; N];
        for (value, word) in values.iter_mut().zip(words) {
            *value = word.load(Ordering::Relaxed);
        }
        fence(Ordering::Acquire);
        if before & 1 == 0 && version.load(Ordering::Relaxed) == before {
            return Some(values);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_taken_when_they_are_at_rest() {
        let page: SharedInfo = [const { AtomicU32::new(0) }; 1024];
        for (word, value) in page[1020..].iter().zip([2, 10, 20, 30]) {
            word.store(value, Ordering::Relaxed);
        }
        assert_eq!(read_versioned(&page, 4080), Some([10, 20, 30]));
        page[1020].store(3, Ordering::Relaxed);
        assert_eq!(read_versioned::<3>(&page, 4080), None);
        assert_eq!(read_versioned::<3>(&page, 4096), None);
    }
}
