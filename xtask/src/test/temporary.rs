//! Files that tests need for a while.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context, Result, bail};

/// A file that is deleted when this is dropped.
pub struct TemporaryFile(PathBuf);

impl TemporaryFile {
    /// A disk of `size` zeros; `size` is a number with a suffix, as for QEMU.
    pub fn disk(size: &str) -> Result<Self> {
        let file = Self::new("disk");
        let length = bytes_of(size)?;
        std::fs::File::create_new(&file.0)
            .and_then(|disk| disk.set_len(length))
            .with_context(|| format!("cannot make a disk at {}", file.0.display()))?;
        Ok(file)
    }

    /// A name that nobody else uses.
    pub fn new(kind: &str) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("mayfly-{kind}-{}-{count}", std::process::id());
        Self(std::env::temp_dir().join(name))
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for TemporaryFile {
    fn drop(&mut self) {
        std::fs::remove_file(&self.0).ok();
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
        assert!(!path.exists());
    }
}
