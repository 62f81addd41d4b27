//! `cargo xtask new`: an app crate outside of the tree builds and runs at once, and becomes the one
//! that the guide makes of it.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

use super::case::Case;
use super::guest::TestGuest;
use super::variant;
use crate::app::App;
use crate::arch::Arch;
use crate::build::{self, How};
use crate::describe;
use crate::new;
use crate::paths;
use crate::run::Network;

/// Seconds that the app may take; it only prints a line.
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(60);

/// The page of the guide that goes on from the new app.
const PAGE: &str = "docs/guide/write-an-app.md";

/// The checks, on one architecture: what differs between them is not in the new app.
pub fn cases(arch: Arch) -> Vec<Case> {
    if arch != Arch::X86_64 {
        return Vec::new();
    }
    let case = |name, work: fn(Arch) -> Result<()>| {
        Case::new(format!("new/{name}/{arch}"), move || Ok(work(arch)?))
    };
    vec![case("builds-and-runs", builds_and_runs), case("becomes-that-of-the-guide", guide)]
}

/// The new app greets.
fn builds_and_runs(arch: Arch) -> Result<()> {
    let path = create()?;
    says(arch, &path, "name=Ada", 0, "Good day, Ada!")
}

/// The new app becomes the one of the guide, by what the page says is to be in `src/main.rs`.
fn guide(arch: Arch) -> Result<()> {
    let path = create()?;
    let page = std::fs::read_to_string(paths::repository().join(PAGE))
        .with_context(|| format!("cannot read {PAGE}"))?;
    let source = block(&page, "rust").with_context(|| format!("{PAGE} has no block of Rust"))?;
    std::fs::write(path.join("src/main.rs"), source)?;
    says(arch, &path, "--help", 0, "What to say.")?;
    says(arch, &path, "greting='Good morning'", 1, "did you mean `greeting`?")?;
    describes(arch, &path)
}

/// The image of the app in `path` tells the same of it without running.
fn describes(arch: Arch, path: &Path) -> Result<()> {
    let app = App::find(path.to_str().context("the checkout's path is not UTF-8")?, None)?;
    let image = build::build(&app, arch, &How::default())?;
    let told = describe::of(&image.elf)?;
    let arguments = told["arguments"].as_array().context("it tells of no arguments")?;
    let greeting = arguments.iter().find(|argument| argument["key"] == "greeting");
    let help = greeting.context("it does not tell of `greeting`")?["help"].as_str();
    ensure!(told["app"]["name"] == "myapp" && help == Some("What to say."), "it tells {told}");
    Ok(())
}

/// Makes the new app; gives its directory.
fn create() -> Result<PathBuf> {
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
    Ok(path)
}

/// Builds the app in `path`, and runs it with a boot argument: it ends with `status`, and `text` is
/// on its console.
fn says(arch: Arch, path: &Path, argument: &str, status: u8, text: &str) -> Result<()> {
    let app = App::find(path.to_str().context("the checkout's path is not UTF-8")?, None)?;
    let image = build::build(&app, arch, &How::default())?;
    let hardware = variant::of(arch).first().context("an architecture has a machine")?.hardware();
    let mut guest = TestGuest::start(&image, hardware, Network::None, &[argument.into()])?;
    let ended = guest.wait(PATIENCE)?;
    ensure!(ended == status, "its exit status is {ended} and not {status}");
    ensure!(guest.console().contains(text), "it does not say `{text}`: {}", guest.console());
    Ok(())
}

/// The first block of code in `language` on a page of Markdown.
fn block<'a>(page: &'a str, language: &str) -> Option<&'a str> {
    let (_, rest) = page.split_once(&format!("\n```{language}\n"))?;
    rest.split_once("\n```\n").map(|(block, _)| block)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_are_found_by_their_language() {
        let page = "a\n```sh\nls\n```\nb\n```rust\nfn f() {\n}\n```\nc\n";
        assert_eq!(block(page, "rust"), Some("fn f() {\n}"));
        assert_eq!(block(page, "toml"), None);
    }
}
