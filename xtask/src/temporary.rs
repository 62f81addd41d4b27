//! Files and directories that are needed for a while.
//!
//! They lie in the directory that everybody may write to, because the paths of sockets have to be
//! short, and those below a checkout may not be. There, nobody else may have a hand in them: each
//! has a new directory to itself, which only its owner may enter.

use std::fs::{self, DirBuilder};
use std::hash::{BuildHasher, RandomState};
use std::io::ErrorKind;
use std::os::unix::fs::{DirBuilderExt, chown};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

/// How many names are tried for a directory: not one of them is taken by chance.
const ATTEMPTS: u32 = 8;

/// A directory that is deleted, with all that is in it, when this is dropped.
pub struct TemporaryDirectory(PathBuf);

impl TemporaryDirectory {
    /// Makes one.
    ///
    /// # Errors
    /// If the directory for temporary files cannot be written to.
    pub fn new() -> Result<Self> {
        Self::within(&std::env::temp_dir())
    }

    /// Makes one that is called `name`, or otherwise where somebody else has taken that: for what
    /// works anywhere, and is quicker where it was before. What a process of ours that was killed
    /// has left of that name goes, so no two may use it at the same time.
    ///
    /// # Errors
    /// If the directory for temporary files cannot be written to.
    pub fn named(name: &str) -> Result<Self> {
        let path = std::env::temp_dir().join(name);
        // That of another user stays: the directory for temporary files sees to that.
        fs::remove_dir_all(&path).ok();
        match DirBuilder::new().mode(0o700).create(&path) {
            Ok(()) => Ok(Self(path)),
            Err(_) => Self::new(),
        }
    }

    fn within(parent: &Path) -> Result<Self> {
        for attempt in 0..ATTEMPTS {
            // Each of these states is made of random keys.
            let number = RandomState::new().hash_one((std::process::id(), attempt));
            let path = parent.join(format!("mayfly-{number:016x}"));
            // mkdir(2) follows no link, and fails if there is something of this name.
            match DirBuilder::new().mode(0o700).create(&path) {
                Ok(()) => return Ok(Self(path)),
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error).with_context(|| cannot_make(parent)),
            }
        }
        bail!(cannot_make(parent))
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for TemporaryDirectory {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).ok();
    }
}

fn cannot_make(parent: &Path) -> String {
    format!(
        "cannot make a directory in {}; let TMPDIR name one that you may write to",
        parent.display()
    )
}

/// A file that is deleted when this is dropped.
pub struct TemporaryFile {
    path: PathBuf,
    directory: TemporaryDirectory,
}

impl TemporaryFile {
    /// A disk of `size` zeros; `size` is a number with a suffix, as for QEMU.
    pub fn disk(size: &str) -> Result<Self> {
        let length = bytes_of(size)?;
        let file = Self::new("disk")?;
        fs::File::create_new(&file.path)
            .and_then(|disk| disk.set_len(length))
            .with_context(|| format!("cannot make a disk at {}", file.path.display()))?;
        Ok(file)
    }

    /// A path that nobody else uses, with `name` at its end. There is no file yet.
    pub fn new(name: &str) -> Result<Self> {
        let directory = TemporaryDirectory::new()?;
        Ok(Self { path: directory.path().join(name), directory })
    }

    /// Lets only this user, and root, get at the file; tells whether that was possible.
    pub fn give_to(&self, user: u32) -> bool {
        chown(self.directory.path(), Some(user), None).is_ok()
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

/// The number of bytes in a size such as 64K, 4M or 1G.
fn bytes_of(size: &str) -> Result<u64> {
    let digits = size.trim_end_matches(['K', 'M', 'G']);
    let unit: u64 = match size.get(digits.len()..) {
        Some("K") => 1 << 10,
        Some("M") => 1 << 20,
        Some("G") => 1 << 30,
        Some("") => 1,
        _ => bail!("`{size}` is no size: a number and K, M or G"),
    };
    let number: u64 = digits.parse().with_context(|| format!("`{size}` is no size"))?;
    number.checked_mul(unit).context("that is too large")
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn sizes_have_suffixes() {
        assert_eq!(bytes_of("512").unwrap(), 512);
        assert_eq!(bytes_of("64K").unwrap(), 65536);
        assert_eq!(bytes_of("2G").unwrap(), 2 << 30);
        assert!(bytes_of("2T").is_err() && bytes_of("M").is_err() && bytes_of("1MK").is_err());
    }

    #[test]
    fn temporary_disks_have_their_size_and_go_away() {
        let disk = TemporaryFile::disk("64K").unwrap();
        let path = disk.path().to_owned();
        assert_eq!(path.metadata().unwrap().len(), 65536);
        drop(disk);
        assert!(!path.exists() && !path.parent().unwrap().exists());
    }

    #[test]
    fn temporary_directories_are_for_their_owner_alone() {
        let (one, other) = (TemporaryDirectory::new().unwrap(), TemporaryDirectory::new().unwrap());
        assert_ne!(one.path(), other.path());
        let mode = one.path().symlink_metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o700);
    }

    #[test]
    fn a_name_is_given_again_and_what_is_there_is_left_alone_if_it_must_be() {
        let name = format!("mayfly-test-{}", std::process::id());
        let first = TemporaryDirectory::named(&name).unwrap();
        let path = first.path().to_owned();
        fs::write(path.join("file"), "left by a process that was killed").unwrap();
        std::mem::forget(first);
        let again = TemporaryDirectory::named(&name).unwrap();
        assert_eq!(again.path(), path);
        assert_eq!(fs::read_dir(&path).unwrap().count(), 0);
        drop(again);
        // A file is not removed as a directory is: it stands for what is somebody else's.
        fs::write(&path, "").unwrap();
        assert_ne!(TemporaryDirectory::named(&name).unwrap().path(), path);
        fs::remove_file(&path).unwrap();
    }

    #[test]
    fn without_a_place_for_temporary_files_the_error_says_how_to_name_one() {
        let error = TemporaryDirectory::within(Path::new("/proc")).err().unwrap();
        assert!(error.to_string().contains("TMPDIR"));
    }
}
