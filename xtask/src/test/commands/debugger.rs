//! `run --gdb`: the command line that it prints, in a shell.

use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};

use super::typed::{Ended, Typed};
use crate::arch::Arch;
use crate::paths;
use crate::setup;
use crate::test::case::{Failure, Verdict};
use crate::tools;

/// Where gdb is to stop: in the source, and what is there.
const SOURCE: &str = "examples/hello/src/main.rs";
const STATEMENT: &str = "mayfly::println!";

/// What each backtrace leads to: the kernel's entry, which has a name and a place, too.
const ENTRY: &str = "__mayfly_start () at arch/src/kernel_entry.rs:";

/// gdb stops in the app's main, and tells where that is; afterwards the guest goes on to its end.
pub fn stops_in_main(arch: Arch) -> Verdict {
    if let Err(error) = setup::programs(&["gdb-multiarch"]) {
        return Verdict::Skipped(format!("{error:#}"));
    }
    match debug_hello(arch) {
        Ok(()) => Verdict::Passed(1),
        Err(error) => Verdict::Failed(Failure::from(error)),
    }
}

fn debug_hello(arch: Arch) -> Result<()> {
    let source = std::fs::read_to_string(paths::repository().join(SOURCE))?;
    let line = source.lines().position(|line| line.contains(STATEMENT));
    let place = format!("{SOURCE}:{}", line.context("hello prints nothing")? + 1);
    let mut run = Typed::new(&["run", "hello", "--gdb", "--arch", arch.name()])?;
    let told = gdb(&mut run, &[&format!("break {place}"), "continue", "backtrace", "list"])?;
    let here = told.text.lines().find(|line| line.starts_with("#0 "));
    ensure!(here.is_some_and(|line| line.contains(SOURCE)), "it is elsewhere:\n{}", told.text);
    let told = told.saying(ENTRY)?;
    // The source is found, although its place in the image stands for any checkout.
    told.saying(STATEMENT)?;
    run.end()?.with(0)?.saying(super::GREETING).map(drop)
}

/// Waits until `run` prints the command line of gdb, and types it, with `commands` at its end, in a
/// directory that has nothing to do with the app.
///
/// # Errors
/// If there is no such line, or gdb fails.
pub fn gdb(run: &mut Typed, commands: &[&str]) -> Result<Ended> {
    let line = run.until("command line of gdb", |text, _| command_line(text))?;
    let words =
        commands.iter().chain(&["detach"]).map(|word| format!(" -ex {}", tools::quote(word)));
    let mut shell = Command::new("sh");
    shell.arg("-c").arg(format!("exec {line} -batch{}", words.collect::<String>()));
    // It would ask servers for sources of libraries.
    shell.current_dir("/").env_remove("DEBUGINFOD_URLS");
    Typed::start(shell, Stdio::null())?.end()?.with(0)
}

/// The line that is to be typed, once QEMU has been started after it.
fn command_line(text: &str) -> Option<String> {
    let (_, rest) = text.split_once("in another terminal type:\n")?;
    let (line, rest) = rest.split_once('\n')?;
    rest.contains("Running ").then(|| line.to_owned())
}
