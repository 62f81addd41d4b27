//! Commands with mistakes: each ends at once, with an error that says how to go on.

use anyhow::Result;

use super::typed::Typed;

/// A mistake.
pub struct Mistake {
    /// What the test is called.
    pub name: &'static str,
    words: &'static [&'static str],
    /// The exit status: 1, and 2 of what is no command line at all.
    status: i32,
    /// What is said.
    says: &'static [&'static str],
}

const fn mistake(
    name: &'static str,
    words: &'static [&'static str],
    status: i32,
    says: &'static [&'static str],
) -> Mistake {
    Mistake { name, words, status, says }
}

/// The mistakes.
pub const MISTAKES: [Mistake; 9] = [
    mistake("nothing", &["run"], 2, &["cargo xtask run http "]),
    mistake("option", &["run", "http", "--timout", "3"], 2, &["--timout", "--timeout"]),
    mistake(
        "app",
        &["run", "htpp"],
        1,
        &["error: there is no app `htpp`", "echo, hello, http", "`cargo xtask new PATH` makes one"],
    ),
    mistake(
        "machine",
        &["run", "hello", "--arch", "armv7", "--machine", "q35"],
        1,
        &["error: q35 is no machine for armv7", "ARM has virt"],
    ),
    mistake("argument", &["run", "http", "--", "prot=80"], 1, &["`prot`; did you mean `port`?"]),
    mistake(
        "argument-of-none",
        &["run", "hello", "--", "port=80"],
        1,
        &["error: hello takes no boot arguments", "`cargo xtask describe hello`"],
    ),
    mistake(
        "interface",
        &["run", "http", "--tap", "mayfly-none"],
        1,
        &["error: there is no interface `mayfly-none`", "`sudo ip tuntap add mayfly-none "],
    ),
    mistake(
        "disk",
        &["run", "disk", "--disk", "/nowhere/disk.img"],
        1,
        &["error: there is no disk /nowhere/disk.img", "`truncate -s 16M /nowhere/disk.img`"],
    ),
    mistake("no-disk", &["run", "disk"], 1, &["add one with `cargo xtask run --disk FILE`"]),
];

impl Mistake {
    /// Makes it, and reads what is said.
    ///
    /// # Errors
    /// If that is something else.
    pub fn is_explained(&self) -> Result<()> {
        let ended = Typed::new(self.words)?.end()?.with(self.status)?;
        self.says.iter().try_fold(ended, |ended, words| ended.saying(words)).map(drop)
    }
}
