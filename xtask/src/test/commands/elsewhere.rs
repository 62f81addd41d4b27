//! A copy of this tree, built at another place by a program of its own.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};

use super::typed::Typed;
use crate::paths;
use crate::temporary::TemporaryDirectory;
use crate::tools;

/// What is built on both sides.
const BUILD: [&str; 5] = ["build", "http", "--release", "--seed", "7"];

/// What is not in a clone.
const OTHERS: [&str; 2] = ["target", ".git"];

/// The image is the same, byte for byte: nothing of it depends on where it was built, or when, or on
/// what was built before.
pub fn builds_the_same() -> Result<()> {
    let elsewhere = TemporaryDirectory::new()?;
    for entry in fs::read_dir(paths::repository())? {
        let entry = entry?;
        if OTHERS.iter().all(|other| entry.file_name() != *other) {
            let mut copy = Command::new("cp");
            tools::run(copy.arg("-r").arg(entry.path()).arg(elsewhere.path()))?;
        }
    }
    let mut there = Command::new("cargo");
    there.arg("xtask").args(BUILD).current_dir(elsewhere.path()).env_remove("CARGO_TARGET_DIR");
    let theirs = image(Typed::start(there, Stdio::null())?, elsewhere.path())?;
    let ours = image(Typed::new(&BUILD)?, paths::repository())?;
    ensure!(theirs == ours, "the images differ, of {} and {} bytes", theirs.len(), ours.len());
    Ok(())
}

/// The image whose path a command prints, which is in `tree`.
fn image(command: Typed, tree: &Path) -> Result<Vec<u8>> {
    let printed = command.end()?.with(0)?.stdout;
    let path = Path::new(printed.lines().last().context("no path is printed")?);
    ensure!(path.starts_with(tree), "{} is not where it was built", path.display());
    fs::read(path).with_context(|| format!("cannot read {}", path.display()))
}
