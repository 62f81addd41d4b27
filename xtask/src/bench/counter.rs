//! The instruction counter: a plugin for QEMU, and the file in which it counts.

use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::temporary::TemporaryFile;
use crate::{paths, setup, tools};

/// The plugin's source, which documents the layout of the file.
const SOURCE: &str = "xtask/src/bench/count.c";

/// Most marks that the plugin keeps, and where they start in the file, in numbers.
pub const MARKS: usize = 32;
const FIRST_MARK: usize = 1;
/// Where the times of the marks start.
const FIRST_TIME: usize = FIRST_MARK + MARKS;

/// Compiles the plugin, if that has not been done yet.
pub fn plugin() -> Result<PathBuf> {
    let source = paths::repository().join(SOURCE);
    let plugin = paths::tools().join("count.so");
    let changed = |path: &Path| path.metadata().and_then(|data| data.modified()).ok();
    if changed(&plugin) > changed(&source) {
        return Ok(plugin);
    }
    setup::programs(&["gcc"])?;
    std::fs::create_dir_all(paths::tools())
        .with_context(|| format!("cannot create {}", paths::tools().display()))?;
    let mut gcc = Command::new("gcc");
    gcc.args(["-O2", "-Wall", "-Wextra", "-shared", "-fPIC", "-o"]).arg(&plugin).arg(&source);
    tools::run(&mut gcc)?;
    Ok(plugin)
}

/// A counter for one run of a guest.
pub struct Counter {
    file: std::fs::File,
    /// Keeps the file until the guest has ended.
    place: TemporaryFile,
    plugin: PathBuf,
    marks: Vec<(usize, u64)>,
}

impl Counter {
    /// A counter that notes when the guest first executes the instruction at one of the addresses;
    /// each address comes with the number of its mark.
    pub fn new(marks: Vec<(usize, u64)>) -> Result<Self> {
        ensure!(marks.iter().all(|(mark, _)| *mark < MARKS), "at most {MARKS} marks can be kept");
        let plugin = plugin()?;
        let place = TemporaryFile::new("count")?;
        let file = std::fs::File::options()
            .create_new(true)
            .read(true)
            .write(true)
            .open(place.path())
            .with_context(|| format!("cannot make {}", place.path().display()))?;
        Ok(Self { file, place, plugin, marks })
    }

    /// What makes QEMU count.
    pub fn qemu_arguments(&self) -> Vec<String> {
        let mut plugin = format!("{},out={}", self.plugin.display(), self.place.path().display());
        for (mark, address) in &self.marks {
            plugin += &format!(",mark={mark}:{address:#x}");
        }
        vec!["-plugin".into(), plugin]
    }

    /// Instructions that the guest has executed so far.
    pub fn instructions(&self) -> u64 {
        self.number(0).unwrap_or(0)
    }

    /// Instructions that it had executed when it reached a mark.
    pub fn mark(&self, mark: usize) -> Option<u64> {
        self.number(FIRST_MARK + mark).filter(|&count| count > 0)
    }

    /// When it reached a mark, in nanoseconds of the host's monotonic clock.
    pub fn time(&self, mark: usize) -> Option<u64> {
        self.number(FIRST_TIME + mark).filter(|&time| time > 0)
    }

    /// Forgets all marks: they are noted when they are reached the next time.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn forget_marks(&self) -> Result<()> {
        let offset = u64::try_from(FIRST_MARK * size_of::<u64>())?;
        Ok(self.file.write_all_at(&[0; MARKS * size_of::<u64>()], offset)?)
    }

    fn number(&self, index: usize) -> Option<u64> {
        let mut bytes = [0; 8];
        let offset = u64::try_from(index * bytes.len()).ok()?;
        // QEMU writes to a mapping of the file; what it has written is seen at once.
        self.file.read_exact_at(&mut bytes, offset).ok()?;
        Some(u64::from_le_bytes(bytes))
    }
}
