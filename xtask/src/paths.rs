//! Where things are on this machine.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::arch::Arch;

/// The checkout of Mayfly that this program was built from.
pub fn repository() -> &'static Path {
    let own = Path::new(env!("CARGO_MANIFEST_DIR"));
    own.parent().unwrap_or(own)
}

/// Where tools go that we install for ourselves.
pub fn tools() -> PathBuf {
    repository().join("target/tools")
}

/// The linker script of an architecture.
pub fn linker_script(arch: Arch) -> PathBuf {
    repository().join("linker").join(arch.name()).with_extension("ld")
}

/// This program, for cargo to call as the linker. If it was built anew while it runs, that is the
/// new one, for the old one is on the disk no more.
///
/// # Errors
/// If it is nowhere.
pub fn this_program() -> Result<PathBuf> {
    let own = std::env::current_exe().context("cannot find out where xtask itself is")?;
    let own = in_its_place(own);
    let path = own.display();
    anyhow::ensure!(own.exists(), "{path} was removed while it runs; start the command again");
    Ok(own)
}

/// The path of a program without what Linux adds when the file there is not that program any more
/// (proc(5), `/proc/pid/exe`).
fn in_its_place(path: PathBuf) -> PathBuf {
    match path.to_str().and_then(|text| text.strip_suffix(" (deleted)")) {
        Some(before) if !path.exists() => before.into(),
        _ => path,
    }
}

/// Where the Rust toolchain is.
pub struct Toolchain {
    /// The linker that all three targets use.
    pub linker: PathBuf,
    /// The directory with a directory for each target.
    targets: PathBuf,
}

impl Toolchain {
    /// Asks rustc.
    pub fn find() -> Result<Self> {
        let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
        let output = crate::tools::output(
            std::process::Command::new(rustc).args(["--print=sysroot", "--print=host-tuple"]),
        )?;
        let mut lines = output.lines();
        let (sysroot, host) = (lines.next().unwrap_or_default(), lines.next().unwrap_or_default());
        let targets = Path::new(sysroot).join("lib/rustlib");
        let linker = targets.join(host).join("bin/rust-lld");
        anyhow::ensure!(
            linker.exists(),
            "the Rust toolchain has no linker at {}; install Rust with rustup (https://rustup.rs)",
            linker.display()
        );
        Ok(Self { linker, targets })
    }

    /// Whether the standard libraries for a target are installed.
    pub fn has_target(&self, target: &str) -> bool {
        self.targets.join(target).join("lib").is_dir()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_that_was_built_anew_is_found_in_its_place() {
        assert_eq!(in_its_place("/x/xtask (deleted)".into()), Path::new("/x/xtask"));
        assert_eq!(in_its_place("/x/xtask".into()), Path::new("/x/xtask"));
    }
}
