//! What the test guests share: the verdict, and ways to break the rules.
//!
//! Each guest in `src/bin` shows one behaviour. It ends with a line on the console that the runner
//! (`cargo xtask test`) looks for, or dies in the way that the comments at its start say.
#![no_std]

use mayfly::{Error, Result};

pub mod agent;
pub mod interrupts;
pub mod random;
pub mod sha256;
pub mod typed;
pub mod violate;

/// Ends a test guest: prints the verdict line, and gives `main` the result to return.
pub fn pass() -> Result {
    mayfly::println!("mayfly-test: PASS");
    Ok(())
}

/// Fails the guest with `what`: prints the verdict line, and gives `main` the result to return.
pub fn fail(what: &'static str) -> Result {
    mayfly::println!("mayfly-test: FAIL {what}");
    Err(Error::App(what))
}

/// Fails the guest with `what` unless `condition` holds.
pub fn check(condition: bool, what: &'static str) -> Result {
    if condition { Ok(()) } else { fail(what) }
}

/// Whether these bytes are those of an initrd that the runner has made: each is the rest of its
/// offset divided by 251.
pub fn is_initrd(bytes: &[u8]) -> bool {
    (0..).zip(bytes).all(|(offset, byte): (usize, _)| *byte == (offset % 251) as u8)
}
