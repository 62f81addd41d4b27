//! Linking an image.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use super::wrapper::LinkInputs;
use crate::arch::Arch;
use crate::paths::{self, Toolchain};
use crate::tools;

/// The part of the linker script that is the same everywhere.
const UNLOADED: &str = include_str!("unloaded.ld");

/// Everything that is the same for the links of one image.
pub struct Linker<'a> {
    /// Whose linker to use.
    pub toolchain: Toolchain,
    /// What the image runs on.
    pub arch: Arch,
    /// The address to link it at.
    pub base: u64,
    /// What cargo has compiled.
    pub inputs: &'a LinkInputs,
}

impl Linker<'_> {
    /// Links the inputs and the object file `table`; writes `output`.
    ///
    /// # Errors
    /// If the linker reports an error; it has been printed.
    pub fn link(&self, table: &Path, output: &Path) -> Result<()> {
        let script = self.script()?;
        let unloaded = output.with_extension("ld");
        std::fs::write(&unloaded, UNLOADED)
            .with_context(|| format!("cannot write {}", unloaded.display()))?;
        let mut command = Command::new(&self.toolchain.linker);
        command.args(["-flavor", "gnu"]);
        command.args(&self.inputs.arguments).arg(table);
        command.arg("-T").arg(script).arg("-T").arg(unloaded);
        command.arg(format!("--defsym=IMAGE_BASE={:#x}", self.base));
        command.args([
            "-static",
            "--gc-sections",
            // A section that the script does not name would end up at a place, and with
            // permissions, that nobody chose.
            "--orphan-handling=error",
            "--build-id=none",
            "-znorelro",
            "-zmax-page-size=4096",
        ]);
        command.arg("-o").arg(output);
        let out = command.output().with_context(|| tools::cannot_start(&command))?;
        let messages = String::from_utf8_lossy(&out.stderr);
        if !out.status.success() {
            bail!("the linker failed:\n{}", messages.trim_end());
        }
        if !messages.is_empty() {
            eprint!("{messages}");
        }
        Ok(())
    }

    /// The linker script of the architecture.
    fn script(&self) -> Result<PathBuf> {
        let script = paths::linker_script(self.arch);
        if !script.is_file() {
            bail!("there is no linker script {}", script.display());
        }
        Ok(script)
    }
}
