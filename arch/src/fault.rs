//! A processor exception that nobody can handle, in words.

use core::fmt;

/// One fault, decoded by the architecture, for the kernel's report.
pub struct Fault<'a> {
    /// What happened, decoded from ESR, DFSR/IFSR or the #PF error code: "write to a read-only page".
    pub cause: &'a dyn fmt::Display,
    /// The address whose access failed, where the architecture tells it.
    pub address: Option<usize>,
    /// The guard page or other protected place that `address` lies in: "guard page of the main stack".
    pub hit: Option<&'static str>,
    /// The general registers, several to a line, each line ending in a newline.
    pub registers: &'a dyn fmt::Display,
    /// Where execution was.
    pub frame: StackFrame,
}

/// A place in the code: start of a backtrace along the chain of frame pointers.
#[derive(Clone, Copy, Debug)]
pub struct StackFrame {
    /// Program counter.
    pub pc: usize,
    /// Frame pointer (RBP, X29, R11), or 0 at the end of the chain.
    pub fp: usize,
}
