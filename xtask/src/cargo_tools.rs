//! Programs that cargo compiles and installs: cargo-deny, cargo-fuzz. Those that are missing go to
//! a directory of the checkout.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use crate::{paths, tools, ui};

/// Where `name` is, if it is installed.
pub fn find(name: &str) -> Option<PathBuf> {
    let own = directory().join(name);
    tools::find(name).or_else(|| own.is_file().then_some(own))
}

/// The search path, with what is installed here at its end.
pub fn search_path() -> OsString {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let directories = std::env::split_paths(&path).chain([directory()]);
    std::env::join_paths(directories).unwrap_or(path)
}

fn directory() -> PathBuf {
    paths::tools().join("bin")
}

/// Has `name` installed if it is not, which takes a minute or two.
///
/// # Errors
/// If cargo cannot do it; the error is why, and what would.
pub fn install(name: &'static str) -> Result<PathBuf, String> {
    // Nothing starts if it is there.
    if let Some(installation) = Installation::start(&[name]) {
        installation.wait();
    }
    find(name).ok_or_else(|| {
        format!("{name} cannot be installed; see what `cargo install --locked {name}` says")
    })
}

/// An installation in the background. It ends when this is dropped.
pub struct Installation(Child);

impl Installation {
    /// Starts to install what is missing of `names`, one after the other, with what others leave
    /// of the machine. `None` if nothing is missing, or cargo cannot be started.
    pub fn start(names: &[&'static str]) -> Option<Self> {
        let missing: Vec<&str> =
            names.iter().copied().filter(|name| find(name).is_none()).collect();
        if missing.is_empty() {
            return None;
        }
        ui::progress("Installing", missing.join(", "));
        let root = paths::tools();
        let mut command = Command::new("nice");
        // Unoptimised, they are there in a third of the time, and they have little to do.
        command.args(["-n", "19", "cargo", "install", "--quiet", "--locked", "--debug"]);
        command.args(missing).arg("--root").arg(&root);
        // Not in our target directory: it would wait for our builds, and they for it.
        command.env("CARGO_TARGET_DIR", root.join("build"));
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        command.spawn().ok().map(Self)
    }

    /// Waits for its end.
    pub fn wait(mut self) {
        self.0.wait().ok();
    }
}

impl Drop for Installation {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_on_the_search_path_are_not_installed_again() {
        let shell = find("sh").expect("there is a shell");
        assert_eq!(install("sh"), Ok(shell));
        assert!(Installation::start(&["sh"]).is_none());
    }

    #[test]
    fn own_programs_come_last() {
        let path = search_path();
        assert_eq!(std::env::split_paths(&path).last(), Some(directory()));
    }
}
