//! Licences, duplicates, sources and known vulnerabilities of what we depend on: cargo-deny.

use std::process::{Command, Stdio};

use anyhow::{Error, Result, bail};

use crate::{cargo_tools, paths, tools};

/// What it is called.
pub const PROGRAM: &str = "cargo-deny";

/// Checks licences, duplicates and sources; and known vulnerabilities, if the list of those can be
/// fetched. Returns why these were not checked, if they were not.
///
/// # Errors
/// If it could not be checked, as there is no cargo-deny and none can be installed, or something was
/// found.
pub fn check() -> Result<Option<&'static str>> {
    let program = cargo_tools::install(PROGRAM).map_err(Error::msg)?;
    let command = |checks: &[&str]| {
        let mut command = Command::new(&program);
        command.args(["--log-level", "error", "check"]).args(checks);
        command.current_dir(paths::repository()).stdin(Stdio::null());
        command
    };
    tools::run(&mut command(&["licenses", "bans", "sources"]))?;
    advisories(&mut command(&["advisories"]))
}

fn advisories(command: &mut Command) -> Result<Option<&'static str>> {
    let output = command.output()?;
    let messages = String::from_utf8_lossy(&output.stderr);
    if output.status.success() {
        return Ok(None);
    }
    if messages.contains("failed to fetch advisory database") {
        return Ok(Some("the advisory database cannot be fetched from here"));
    }
    bail!("{}", messages.trim())
}
