//! Futures without their types.

use alloc::boxed::Box;
use core::pin::Pin;

/// A future on the heap.
///
/// The body of an `async fn` is compiled into every crate that awaits it, and with it all that it
/// awaits in its turn. A function that returns one of these is in an image once, whoever calls it:
/// so that is what long ones at the border of a crate are, of which few are under way at a time.
pub type Boxed<'a, T> = Pin<Box<dyn Future<Output = T> + 'a>>;
