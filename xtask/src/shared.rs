//! Files that several xtasks use at the same time.

use std::fs::{self, File, TryLockError};
use std::path::Path;

use anyhow::{Context, Result};

use crate::ui;

/// The right to change the files of a directory. It ends when this is dropped, or with the process.
#[derive(Debug)]
pub struct Lock {
    _file: File,
}

impl Lock {
    /// Takes it for `directory`, and waits as long as somebody else has it, which is said. A thread
    /// that has it already would wait for ever.
    ///
    /// # Errors
    /// If the directory cannot be written to, or its file system knows no locks.
    pub fn of(directory: &Path) -> Result<Self> {
        // It stays: if it were deleted, one could lock the old file and another one a new one.
        let path = directory.join("lock");
        let cannot = || format!("cannot lock {}", path.display());
        let file = File::options().create(true).append(true).open(&path).with_context(cannot)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let what = format_args!("for another xtask that works in {}", directory.display());
                ui::progress("Waiting", what);
                file.lock().with_context(cannot)?;
            }
            Err(TryLockError::Error(error)) => return Err(error).with_context(cannot),
        }
        Ok(Self { _file: file })
    }
}

/// Writes a file that others may be reading: these keep the one that they have opened.
///
/// # Errors
/// If the directory cannot be written to, or the disk is full.
pub fn replace(path: &Path, content: &[u8]) -> Result<()> {
    let mut fresh = path.as_os_str().to_owned();
    fresh.push(format!(".{}", std::process::id()));
    fs::write(&fresh, content)
        .and_then(|()| fs::rename(&fresh, path))
        .with_context(|| format!("cannot write {}", path.display()))
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::thread;
    use std::time::Duration;

    use super::*;
    use crate::temporary::TemporaryDirectory;

    #[test]
    fn who_comes_second_waits_until_the_first_is_done() {
        let directory = TemporaryDirectory::new().unwrap();
        let first = Lock::of(directory.path()).unwrap();
        let is_done = AtomicBool::new(false);
        thread::scope(|scope| {
            let second = scope.spawn(|| {
                let _second = Lock::of(directory.path()).unwrap();
                is_done.load(Ordering::SeqCst)
            });
            // Without the lock, the other one would have looked by then.
            thread::sleep(Duration::from_millis(50));
            is_done.store(true, Ordering::SeqCst);
            drop(first);
            assert!(second.join().unwrap());
        });
        assert!(Lock::of(&directory.path().join("nowhere")).is_err());
    }

    #[test]
    fn a_file_that_is_read_is_replaced_as_a_whole() {
        let directory = TemporaryDirectory::new().unwrap();
        let path = directory.path().join("file");
        replace(&path, b"old").unwrap();
        let reader = File::open(&path).unwrap();
        replace(&path, b"new").unwrap();
        assert_eq!(std::io::read_to_string(reader).unwrap(), "old");
        assert_eq!(fs::read(&path).unwrap(), b"new");
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
    }
}
