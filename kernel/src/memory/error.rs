//! Allocations that may fail.
//!
//! What a peer can make grow, a driver or a socket allocates with these functions, and hands the
//! error to the app. All other allocations that fail end the guest; its report says who asked.

use alloc::{alloc::alloc, boxed::Box, vec::Vec};
use core::{alloc::Layout, cell::Cell, fmt, hint};

use mayfly_device::DeviceError;

mayfly_arch::local! {
    static LAST_FAILURE: Cell<Option<OutOfMemory>> = Cell::new(None);
}

/// There was not enough memory for something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OutOfMemory {
    /// Bytes that were asked for.
    pub requested: usize,
    /// What they were for: "tcp receive buffer".
    pub who: &'static str,
    /// Bytes that were free at that moment, though maybe not in one piece.
    pub free: usize,
}

impl OutOfMemory {
    /// The error for an allocation that has just failed; noted for the report.
    #[cold]
    pub(crate) fn new(requested: usize, who: &'static str) -> Self {
        let error = Self { requested, who, free: super::stats().free_frames * super::PAGE_SIZE };
        LAST_FAILURE.with(|last| last.set(Some(error)));
        error
    }
}

impl fmt::Display for OutOfMemory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { requested, who, free } = self;
        write!(f, "no memory for {who}: {requested} bytes asked for, {free} free; ")?;
        f.write_str("give the guest more memory or let it do less at a time")
    }
}

impl core::error::Error for OutOfMemory {}

impl From<OutOfMemory> for DeviceError {
    fn from(_: OutOfMemory) -> Self {
        Self::OutOfMemory
    }
}

/// The last allocation that failed, for the fault report. `None` in an interrupt handler.
pub fn last_failure() -> Option<OutOfMemory> {
    if mayfly_arch::in_interrupt() { None } else { LAST_FAILURE.with(Cell::get) }
}

/// `Box::new` that may fail; `value` is dropped then.
///
/// # Errors
/// When there is no memory.
pub fn try_box<T>(value: T, who: &'static str) -> Result<Box<T>, OutOfMemory> {
    let layout = Layout::new::<T>();
    if layout.size() == 0 {
        return Ok(Box::new(value));
    }
    // SAFETY: the size is not zero.
    let memory = unsafe { alloc(layout) }.cast::<T>();
    if memory.is_null() {
        return Err(OutOfMemory::new(layout.size(), who));
    }
    // SAFETY: the memory was allocated for a `T` by the global allocator, and is initialised now.
    Ok(unsafe {
        memory.write(value);
        Box::from_raw(memory)
    })
}

/// An empty vector with room for `capacity` elements.
///
/// # Errors
/// When there is no memory.
pub fn try_vec<T>(capacity: usize, who: &'static str) -> Result<Vec<T>, OutOfMemory> {
    let mut vector = Vec::new();
    let full = |_| OutOfMemory::new(capacity.saturating_mul(size_of::<T>()), who);
    vector.try_reserve_exact(capacity).map_err(full)?;
    Ok(vector)
}

/// Finds out whether somebody who cannot fail may allocate `size` bytes next.
///
/// # Errors
/// When there is no memory.
pub fn try_room(size: usize, who: &'static str) -> Result<(), OutOfMemory> {
    // Memory that nobody looks at, the compiler need not allocate.
    hint::black_box(try_vec::<u8>(size, who)?);
    Ok(())
}

/// `size` bytes of zeros.
///
/// # Errors
/// When there is no memory.
pub fn try_zeroed(size: usize, who: &'static str) -> Result<Box<[u8]>, OutOfMemory> {
    let mut bytes = try_vec(size, who)?;
    bytes.resize(size, 0);
    Ok(bytes.into_boxed_slice())
}

/// Makes room for `additional` more elements in `vector`.
///
/// # Errors
/// When there is no memory; the vector is unchanged.
pub fn try_reserve<T>(
    vector: &mut Vec<T>,
    additional: usize,
    who: &'static str,
) -> Result<(), OutOfMemory> {
    let full = |_| OutOfMemory::new(additional.saturating_mul(size_of::<T>()), who);
    vector.try_reserve(additional).map_err(full)
}

/// Gives back the memory of `vector` beyond `capacity` elements, if it has no more of them. A smaller
/// block may have to be found for that, unlike with `Vec::shrink_to`, which ends the guest when there
/// is none: then the vector stays as it is.
pub(crate) fn shrink<T>(vector: &mut Vec<T>, capacity: usize) {
    let mut smaller = Vec::new();
    if vector.len() <= capacity && smaller.try_reserve_exact(capacity).is_ok() {
        smaller.append(vector);
        *vector = smaller;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_vector_shrinks_if_its_elements_fit() {
        let mut vector: Vec<u8> = Vec::with_capacity(100);
        vector.extend(0..10);
        shrink(&mut vector, 9);
        assert_eq!(vector.capacity(), 100);
        shrink(&mut vector, 20);
        assert_eq!(vector.capacity(), 20);
        assert!(vector.into_iter().eq(0..10));
    }

    #[test]
    fn failures_say_who_asked_and_are_kept_for_the_report() {
        let error = try_vec::<u64>(usize::MAX / 4, "a giant").unwrap_err();
        assert_eq!((error.requested, error.who), (usize::MAX, "a giant"));
        assert_eq!(last_failure(), Some(error));
        assert!(error.to_string().starts_with("no memory for a giant: "));
        assert!(try_zeroed(usize::MAX, "more").is_err());
        assert!(try_reserve(&mut std::vec![1], usize::MAX, "more").is_err());
        assert!(try_room(usize::MAX, "more").is_err());
    }

    #[test]
    fn what_fits_is_allocated() {
        assert_eq!(*try_box([7u8; 100], "test").unwrap(), [7; 100]);
        assert_eq!(try_box((), "test"), Ok(Box::new(())));
        assert_eq!(*try_zeroed(3, "test").unwrap(), [0; 3]);
        assert_eq!(try_room(100, "test"), Ok(()));
        assert!(try_vec::<u32>(10, "test").unwrap().capacity() >= 10);
    }
}
