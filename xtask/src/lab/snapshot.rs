//! The state of a machine whose dom0 is ready, which is quicker to read than to reach.
//!
//! It is QEMU's own stream of migration. What it was made of is in its name; nobody looks at one that
//! was made of something else, and only the newest are kept.

use std::fs::{self, File};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result};

use super::{DOM0, HYPERVISOR, Hardware, KERNEL, Lab, machine};
use crate::tools;

/// What the names of the files begin with, and those of unfinished ones.
const PREFIX: &str = "ready-";
const UNFINISHED: &str = "new-";

/// How old an unfinished one is that nobody works on any more.
const ABANDONED: Duration = Duration::from_secs(3600);

/// To be changed with how the machine is made, as far as its command line does not tell.
const VERSION: u32 = 1;

/// Most files that are kept for an architecture, of about 120 MB each.
const KEPT: usize = 6;

/// Where the state of a machine is kept, or would be.
#[derive(Clone, Debug)]
pub struct Snapshot {
    directory: PathBuf,
    name: String,
}

impl Snapshot {
    /// That of a machine with these serial ports. `None` if it is different each time, or is to be
    /// booted anyway.
    ///
    /// # Errors
    /// If what it is made of cannot be read.
    pub fn of(lab: &Lab, hardware: &Hardware, ports: &[&str]) -> Result<Option<Self>> {
        let Some(shape) = hardware.shape() else { return Ok(None) };
        let mut hasher = DefaultHasher::new();
        (VERSION, shape, ports).hash(&mut hasher);
        let qemu = Command::new(lab.xen.arch().qemu());
        version(&qemu)?.hash(&mut hasher);
        let usual = machine::command(lab, &hardware.without_devices(), true);
        usual.get_args().collect::<Vec<_>>().hash(&mut hasher);
        // These stay as they are as long as the packages do.
        for file in [HYPERVISOR, KERNEL] {
            let file = lab.directory().join(file).metadata()?;
            (file.len(), file.modified()?).hash(&mut hasher);
        }
        let dom0 = lab.directory().join(DOM0);
        let content = fs::read(&dom0);
        content.with_context(|| format!("cannot read {}", dom0.display()))?.hash(&mut hasher);
        let name = format!("{PREFIX}{:016x}", hasher.finish());
        Ok(Some(Self { directory: lab.directory().to_owned(), name }))
    }

    /// The name of the file, in the directory of the lab.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether it is there. If so, it counts as new again.
    pub fn is_there(&self) -> bool {
        let times = fs::FileTimes::new().set_modified(SystemTime::now());
        let file = File::options().append(true).open(self.directory.join(&self.name));
        file.and_then(|file| file.set_times(times)).is_ok()
    }

    /// A name to write it under, until it is whole. Nobody else uses it.
    pub fn unfinished(&self) -> Unfinished<'_> {
        let name = format!("{UNFINISHED}{}-{}", std::process::id(), self.name);
        Unfinished { snapshot: self, name }
    }

    /// Removes it.
    pub fn remove(&self) {
        fs::remove_file(self.directory.join(&self.name)).ok();
    }
}

/// A snapshot that is being written. It is removed if it is not finished.
pub struct Unfinished<'a> {
    snapshot: &'a Snapshot,
    name: String,
}

impl Unfinished<'_> {
    /// The name of the file, in the directory of the lab.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Lets others use it.
    ///
    /// # Errors
    /// If it cannot be renamed.
    pub fn finish(self) -> Result<()> {
        let Snapshot { directory, name } = self.snapshot;
        fs::rename(directory.join(&self.name), directory.join(name))?;
        prune(directory);
        Ok(())
    }
}

impl Drop for Unfinished<'_> {
    fn drop(&mut self) {
        fs::remove_file(self.snapshot.directory.join(&self.name)).ok();
    }
}

/// Removes all but the newest, and what was never finished.
fn prune(directory: &Path) {
    let snapshots = named(directory, PREFIX);
    let surplus = snapshots.len().saturating_sub(KEPT);
    let abandoned = named(directory, UNFINISHED)
        .into_iter()
        .filter(|(written, _)| written.elapsed().is_ok_and(|age| age > ABANDONED));
    for (_, path) in snapshots.into_iter().take(surplus).chain(abandoned) {
        fs::remove_file(path).ok();
    }
}

/// The files whose names begin like this, the oldest first.
fn named(directory: &Path, prefix: &str) -> Vec<(SystemTime, PathBuf)> {
    let Ok(files) = fs::read_dir(directory) else { return Vec::new() };
    let mut files: Vec<_> = files
        .filter_map(Result::ok)
        .filter(|file| file.file_name().to_string_lossy().starts_with(prefix))
        .filter_map(|file| Some((file.metadata().ok()?.modified().ok()?, file.path())))
        .collect();
    files.sort_unstable();
    files
}

/// What QEMU says that it is.
fn version(qemu: &Command) -> Result<String> {
    tools::output(Command::new(qemu.get_program()).arg("--version"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::temporary::TemporaryDirectory;

    #[test]
    fn what_is_not_finished_is_not_there() {
        let directory = TemporaryDirectory::new().unwrap();
        let directory = directory.path().to_owned();
        let snapshot = |number: usize| Snapshot {
            directory: directory.clone(),
            name: format!("{PREFIX}{number}"),
        };
        let first = snapshot(0);
        let unfinished = first.unfinished();
        fs::write(directory.join(unfinished.name()), "state").unwrap();
        assert!(!first.is_there());
        drop(unfinished);
        assert_eq!(fs::read_dir(&directory).unwrap().count(), 0);
        for number in 0..KEPT + 2 {
            let snapshot = snapshot(number);
            let unfinished = snapshot.unfinished();
            fs::write(directory.join(unfinished.name()), "state").unwrap();
            unfinished.finish().unwrap();
            assert!(snapshot.is_there());
        }
        assert!(!first.is_there() && snapshot(KEPT + 1).is_there());
        assert_eq!(fs::read_dir(&directory).unwrap().count(), KEPT);
        snapshot(KEPT).remove();
        assert!(!snapshot(KEPT).is_there());
    }
}
