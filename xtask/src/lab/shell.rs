//! `lab shell`: the console of dom0, as a terminal has it.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, bail};
use clap::Args;

use super::{DOM0, HYPERVISOR, Hardware, KERNEL, Lab, machine};
use crate::cpio::Archive;
use crate::temporary::TemporaryDirectory;
use crate::{setup, tools, ui};

/// Where the shell of dom0 is, and guests' files are.
const PLACE: &str = "guests";

/// The machine, and what dom0 gets.
#[derive(Args)]
pub struct Shell {
    /// Puts FILE into dom0, where the prompt is, and may run it; may be repeated.
    #[arg(long = "file", value_name = "FILE")]
    files: Vec<PathBuf>,
    #[command(flatten)]
    hardware: Hardware,
}

impl Shell {
    /// Boots, with the terminal as the console of dom0.
    ///
    /// # Errors
    /// If a file cannot be read, or QEMU cannot be started.
    pub fn execute(&self) -> Result<()> {
        let files = read(&self.files)?;
        setup::programs(&[self.hardware.arch.arch().qemu()])?;
        let lab = Lab::prepare(self.hardware.arch)?;
        let directory = TemporaryDirectory::new()?;
        let lab = if files.is_empty() { lab } else { lab.with_files(&files, &directory)? };
        ui::progress("Booting", format_args!("Xen and dom0 on {}", self.hardware.arch.arch()));
        let mut qemu: Command = machine::command(&lab, &self.hardware, true);
        qemu.args(["-serial", "mon:stdio"]);
        tools::run(&mut qemu)
    }
}

/// Contents of files, by the names that they have in dom0.
type Files = BTreeMap<String, Vec<u8>>;

/// Reads files for dom0, before anything is booted for them.
///
/// # Errors
/// If one cannot be read, or two have the same name.
pub fn read(paths: &[PathBuf]) -> Result<Files> {
    let mut files = Files::new();
    for path in paths {
        let content = fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
        let name = path.file_name().context("a file has a name")?.to_string_lossy().into_owned();
        if files.insert(name.clone(), content).is_some() {
            bail!("two files are called {name}; rename one");
        }
    }
    Ok(files)
}

impl Lab {
    /// The same lab in `directory`, with files where guests are in dom0: Linux takes several archives,
    /// one after the other, as its first file system.
    fn with_files(&self, files: &Files, directory: &TemporaryDirectory) -> Result<Self> {
        let mut archive = Archive::default();
        for (name, content) in files {
            archive.file(&format!("{PLACE}/{name}"), content);
        }
        let mut file_system = fs::read(self.directory().join(DOM0))?;
        file_system.extend(archive.finish());
        let directory = directory.path();
        fs::write(directory.join(DOM0), file_system).with_context(|| {
            let place = directory.display();
            format!("cannot put files for dom0 into {place}; make room, or name another by TMPDIR")
        })?;
        for name in [HYPERVISOR, KERNEL] {
            symlink(self.directory().join(name), directory.join(name))?;
        }
        Ok(Self { xen: self.xen, directory: directory.to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::temporary::TemporaryFile;

    #[test]
    fn files_need_names_of_their_own() {
        let files = [TemporaryFile::new("one").unwrap(), TemporaryFile::new("two").unwrap()];
        let again = TemporaryFile::new("one").unwrap();
        for file in files.iter().chain([&again]) {
            fs::write(file.path(), "content").unwrap();
        }
        let [one, two] = files.each_ref().map(|file| file.path().to_owned());
        let both = read(&[one.clone(), two]).unwrap();
        assert_eq!(both.keys().collect::<Vec<_>>(), ["one", "two"]);
        let error = read(&[one, again.path().to_owned()]).unwrap_err();
        assert!(error.to_string().contains("called one"), "{error}");
        let error = read(&["there/is/none".into()]).unwrap_err();
        assert!(error.to_string().contains("there/is/none"), "{error}");
    }
}
