//! The commands that people type, as they type them: this program in a process of its own
//! ([`typed`]), what it prints, and how it ends.

pub mod site;
pub mod typed;

/// What the example hello prints.
pub const GREETING: &str = "Hello from Mayfly.";
