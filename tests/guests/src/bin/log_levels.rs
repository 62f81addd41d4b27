//! The boot argument `log` says what is logged, by module; what is not logged is not even formatted.
//@ machine: qemu xen
//@ arguments: log=warn,talks=debug,silent=off
//@ report: log_levels: a warning
//@ report: log_levels::talks: what a module has found
#![no_std]
#![no_main]
#![forbid(unsafe_code)]

use core::{cell::Cell, fmt};

use guests::check;
use mayfly::{
    Result,
    log::{debug, error, info, trace, warn},
};

/// A text that tells when it is formatted.
struct Text<'a>(&'static str, &'a Cell<usize>);

impl fmt::Display for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.1.set(self.1.get() + 1);
        f.write_str(self.0)
    }
}

mod talks {
    use super::{Cell, Text, debug, trace};

    pub fn log(count: &Cell<usize>) {
        debug!("{}", Text("what a module has found", count));
        trace!("{}", Text("too much", count));
    }
}

mod silent {
    use super::{Cell, Text, error};

    pub fn log(count: &Cell<usize>) {
        error!("{}", Text("nobody wants to know", count));
    }
}

#[mayfly::main]
async fn main() -> Result {
    let count = Cell::new(0);
    warn!("{}", Text("a warning", &count));
    info!("{}", Text("news", &count));
    talks::log(&count);
    silent::log(&count);
    check(count.get() == 2, "another number of texts than two were formatted")?;
    guests::pass()
}
