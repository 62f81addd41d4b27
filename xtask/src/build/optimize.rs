//! Optimising the whole image once more, before it is linked.
//!
//! rustc's own link-time optimisation looks for arguments that nobody reads before it inlines, and
//! only once. So every panic goes on carrying the place in the source that it comes from, although
//! the report of an image that ships does not print it (`kernel/src/report.rs` says why). Looking
//! again when rustc is done takes them out, and then what is left can be made smaller still:
//! together a seventh of an image. It takes a second or two.

use std::path::Path;
use std::process::Command;

use anyhow::{Result, bail};

use crate::paths::Toolchain;
use crate::tools;

/// The passes of LLVM that are run, in order: unread arguments, then whatever served only them,
/// then the usual ones for a whole program.
const PASSES: &str = "deadargelim,globaldce,lto<Os>";

/// Compiles `bitcode`, the whole image as rustc has optimised it, to the object file `object`.
///
/// # Errors
/// If LLVM's linker, which does this, cannot be found or reports an error.
pub fn compile(bitcode: &Path, object: &Path) -> Result<()> {
    let mut command = Command::new(Toolchain::find()?.linker);
    command.args(["-flavor", "gnu", "--relocatable"]);
    command.arg(format!("--lto-newpm-passes={PASSES}"));
    command.arg(bitcode).arg("-o").arg(object);
    let output = command
        .output()
        .map_err(|error| anyhow::Error::from(error).context(tools::cannot_start(&command)))?;
    if !output.status.success() {
        bail!(
            "the image could not be optimised:\n{}",
            String::from_utf8_lossy(&output.stderr).trim_end()
        );
    }
    Ok(())
}
