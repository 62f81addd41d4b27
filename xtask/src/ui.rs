//! What the person at the terminal sees. Progress and errors go to standard error, so that
//! standard output holds results only.

use std::fmt::Display;
use std::io::IsTerminal;
use std::process::ExitCode;

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
