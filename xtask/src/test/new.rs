//! `cargo xtask new`: an app crate outside of the tree builds and runs at once.

use std::path::Path;

use anyhow::{Context, Result, ensure};

use super::case::Case;
use super::guest::TestGuest;
use super::variant;
use crate::app::App;
use crate::arch::Arch;
use crate::build::{self, How};
use crate::new;
use crate::paths;
use crate::run::Network;

/// Seconds that the app may take; it only prints a line.
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(60);

/// The check, on one architecture: what differs between them is not in the new app.
pub fn cases(arch: Arch) -> Vec<Case> {
    let name = format!("new/builds-and-runs/{arch}");
    let case = Case::new(name, move || Ok(builds_and_runs(arch)?));
    if arch == Arch::X86_64 { vec![case] } else { Vec::new() }
}

fn builds_and_runs(arch: Arch) -> Result<()> {
    let place = paths::repository().join("target/new");
    let path = place.join("myapp");
    // What was compiled last time is kept, so that only the first time takes long.
    let (compiled, kept) = (path.join("target"), place.join("kept"));
    if compiled.is_dir() && !kept.exists() {
        std::fs::rename(&compiled, &kept)?;
    }
    remove(&path)?;
    new::create(&path)?;
    if kept.is_dir() {
        std::fs::rename(&kept, &compiled)?;
    }
    let app = App::find(path.to_str().context("the checkout's path is not UTF-8")?, None)?;
    let image = build::build(&app, arch, &How::default())?;
    let hardware = variant::of(arch).first().context("an architecture has a machine")?.hardware();
    let mut guest = TestGuest::start(&image, hardware, Network::None, &["name=Ada".into()])?;
    let status = guest.wait(PATIENCE)?;
    ensure!(status == 0, "its exit status is {status}");
    ensure!(guest.console().contains("Good day, Ada!"), "it does not greet: {}", guest.console());
    Ok(())
}

/// Removes a directory that may not be there.
fn remove(path: &Path) -> Result<()> {
    match std::fs::remove_dir_all(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot remove {}", path.display()))
        }
        _ => Ok(()),
    }
}
