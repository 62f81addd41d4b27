//! What the person at the terminal sees. Progress and errors go to standard error, so that
//! standard output holds results only.

use std::fmt::Display;
use std::io::IsTerminal;
use std::panic;
use std::process::{self, ExitCode};

/// The exit status of a program whose output nobody reads: 128 and the number of SIGPIPE, as shells
/// have it.
pub const UNREAD: i32 = 128 + 13;

/// Says what is being done, in the way that cargo does: a verb, then its object.
pub fn progress(verb: &str, what: impl Display) {
    let (green, plain) =
        if std::io::stderr().is_terminal() { ("\x1b[1;32m", "\x1b[0m") } else { ("", "") };
    eprintln!("{green}{verb:>12}{plain} {what}");
}

/// Tells of something that is not as it should be, but does not stop the work.
pub fn warning(what: impl Display) {
    let (yellow, plain) =
        if std::io::stderr().is_terminal() { ("\x1b[1;33m", "\x1b[0m") } else { ("", "") };
    eprintln!("{yellow}warning{plain}: {what}");
}

/// Ends the program without a word once nobody reads what it prints, as after `| head`. Rust's
/// `println!` panics then, and that signal which would end it is ignored in all Rust programs.
pub fn end_with_reader() {
    let usual = panic::take_hook();
    panic::set_hook(Box::new(move |panic| {
        if panic.payload_as_str().is_some_and(is_about_reader) {
            process::exit(UNREAD);
        }
        usual(panic);
    }));
}

/// Whether a panic's message is that of `println!` when nobody reads.
fn is_about_reader(message: &str) -> bool {
    message.starts_with("failed printing to stdout") && message.contains("Broken pipe")
}

/// Ends a command: prints its error, if it failed, and turns its result into an exit status.
pub fn exit(result: anyhow::Result<u8>) -> ExitCode {
    match result {
        Ok(status) => ExitCode::from(status),
        Err(error) => {
            let (red, plain) =
                if std::io::stderr().is_terminal() { ("\x1b[1;31m", "\x1b[0m") } else { ("", "") };
            eprintln!("{red}error{plain}: {error:#}");
            ExitCode::FAILURE
        }
    }
}
