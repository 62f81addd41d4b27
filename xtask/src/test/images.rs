//! Properties of image files that can be checked without running them.

use anyhow::{Context, Result, ensure};

use super::case::Case;
use crate::app::App;
use crate::arch::Arch;
use crate::build::{self, How};

/// The checks for an architecture.
pub fn cases(arch: Arch, how: &How) -> Vec<Case> {
    let how = how.clone();
    vec![Case::new(format!("images/same-seed-same-bytes/{arch}"), move || {
        Ok(same_seed_same_bytes(arch, &how)?)
    })]
}

/// Two builds with one seed are the same file; two with different seeds are not, nor two without one,
/// each of which lies at an address of its own.
fn same_seed_same_bytes(arch: Arch, how: &How) -> Result<()> {
    let app = App::find("hello", None)?;
    let build = |seed| -> Result<Vec<u8>> {
        let image = build::build(&app, arch, &How { seed, ..how.clone() })?;
        std::fs::read(&image.path).with_context(|| format!("cannot read {}", image.path.display()))
    };
    let (first, second, other) = (build(Some(1))?, build(Some(1))?, build(Some(2))?);
    ensure!(first == second, "two images with seed 1 differ");
    ensure!(first != other, "the seed does not change the image");
    ensure!(build(None)? != build(None)?, "without a seed, two images are the same");
    Ok(())
}
