//! Licences, duplicates, sources and known vulnerabilities of what we depend on: cargo-deny.

use std::process::{Command, Stdio};

use anyhow::{Result, bail};

use crate::{cargo_tools, paths, tools};

/// What it is called.
pub const PROGRAM: &str = "cargo-deny";

/// Why the check has not passed.
pub enum Unavailable {
    /// There is no cargo-deny, and it cannot be installed.
    NotInstalled(String),
    /// There is, and it found something.
    Failed(anyhow::Error),
}

/// Checks licences, duplicates and sources; and known vulnerabilities, if the list of those can be
/// fetched. Returns why these were not checked, if they were not.
///
/// # Errors
/// If it could not be checked, or something was found.
pub fn check() -> Result<Option<&'static str>, Unavailable> {
    let program = cargo_tools::install(PROGRAM).map_err(Unavailable::NotInstalled)?;
    let command = |checks: &[&str]| {
        let mut command = Command::new(&program);
        command.args(["--log-level", "error", "check"]).args(checks);
        command.current_dir(paths::repository()).stdin(Stdio::null());
        command
    };
    tools::run(&mut command(&["licenses", "bans", "sources"])).map_err(Unavailable::Failed)?;
    advisories(&mut command(&["advisories"])).map_err(Unavailable::Failed)
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
