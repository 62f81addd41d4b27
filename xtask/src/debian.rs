//! Debian packages of any architecture, downloaded and unpacked, never installed.
//!
//! apt gets a configuration of its own, with its own lists, cache and an empty state, so that the
//! packages and architectures of this machine stay as they are. It checks signatures and checksums
//! against the keys that this machine trusts. What was unpacked once is used again, by any number of
//! xtasks; only one at a time fetches and unpacks.

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result, ensure};

use crate::arch::Arch;
use crate::shared::Lock;
use crate::{paths, tools, ui};

/// How old the lists of packages may be. Mirrors delete what a newer version replaces.
const LISTS_AGE: Duration = Duration::from_secs(24 * 3600);

/// The release whose packages are meant: later ones have other versions of Xen, and some libraries
/// under other names.
const RELEASE: &str = "Debian 12 (bookworm)";

/// The packages of one architecture. Others have to wait for them until this is dropped.
pub struct Packages {
    directory: PathBuf,
    configuration: PathBuf,
    _lock: Lock,
}

/// What Debian calls an architecture.
pub fn name(arch: Arch) -> &'static str {
    match arch {
        Arch::X86_64 => "amd64",
        Arch::Aarch64 => "arm64",
        Arch::Armv7 => "armhf",
    }
}

/// Where the packages of an architecture are.
fn directory(arch: Arch) -> PathBuf {
    paths::repository().join("target/debian").join(name(arch))
}

/// Keeps others from fetching and unpacking packages of an architecture, for as long as what it
/// gives is there.
///
/// # Errors
/// If no packages have been fetched yet.
pub fn lock(arch: Arch) -> Result<Lock> {
    Lock::of(&directory(arch))
}

impl Packages {
    /// Those of `arch`, as soon as nobody else works on them. Fetches their lists if there are none
    /// or if they are old.
    ///
    /// # Errors
    /// If this is no Debian, or nothing can be downloaded.
    pub fn of(arch: Arch) -> Result<Self> {
        for program in ["apt-get", "dpkg-deb"] {
            ensure!(
                tools::find(program).is_some(),
                "there is no {program}, which fetches packages: use {RELEASE}; a container will do"
            );
        }
        let directory = directory(arch);
        fs::create_dir_all(&directory)
            .with_context(|| format!("cannot make {}", directory.display()))?;
        let lock = lock(arch)?;
        let packages = Self { configuration: directory.join("apt.conf"), directory, _lock: lock };
        for part in ["lists/partial", "cache/archives/partial", "packages", "trees"] {
            let part = packages.directory.join(part);
            fs::create_dir_all(&part).with_context(|| format!("cannot make {}", part.display()))?;
        }
        fs::write(packages.directory.join("status"), "")?;
        fs::write(&packages.configuration, packages.configuration_for(name(arch)))?;
        packages.update()?;
        Ok(packages)
    }

    /// What apt is told (apt.conf(5)).
    fn configuration_for(&self, arch: &str) -> String {
        let directory = self.directory.display();
        format!(
            "APT::Architecture \"{arch}\";\n\
             APT::Architectures {{ \"{arch}\"; }};\n\
             APT::Sandbox::User \"\";\n\
             Acquire::Languages \"none\";\n\
             Dir::State \"{directory}\";\n\
             Dir::State::lists \"{directory}/lists\";\n\
             Dir::State::status \"{directory}/status\";\n\
             Dir::Cache \"{directory}/cache\";\n"
        )
    }

    fn update(&self) -> Result<()> {
        let stamp = self.directory.join("updated");
        if age(&stamp).is_some_and(|age| age < LISTS_AGE) {
            return Ok(());
        }
        ui::progress("Fetching", "the lists of Debian's packages");
        // Without this option, lists that cannot be fetched are no failure.
        let mut update = self.apt("apt-get");
        update.args(["update", "--quiet", "--error-on=any"]);
        match tools::run(update.stdout(Stdio::null())) {
            Ok(()) => fs::write(stamp, "")?,
            // A mirror may be at work on one list while the others are as they should be.
            Err(error) if self.has_lists() => ui::warning(format_args!(
                "{error:#}; going on with the lists that there are, and fetching them again next time"
            )),
            Err(error) => return Err(error),
        }
        Ok(())
    }

    /// Whether there is any list of packages, new or old.
    fn has_lists(&self) -> bool {
        let names = fs::read_dir(self.directory.join("lists")).into_iter().flatten().flatten();
        names
            .map(|entry| entry.file_name())
            .any(|name| name.to_string_lossy().contains("_Packages"))
    }

    /// One of apt's programs, with our configuration.
    fn apt(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command.env("APT_CONFIG", &self.configuration).stdin(Stdio::null());
        // What it prints is read.
        command.env("LC_ALL", "C").env_remove("LANGUAGE");
        command
    }

    /// Fails if the lists have not all of these packages: apt-get would only say that there is no
    /// such package.
    fn require(&self, packages: &[&str]) -> Result<()> {
        let mut show = self.apt("apt-cache");
        show.args(["show", "--no-all-versions"]).args(packages);
        // It complains about some that are not there, and fails only if none is.
        let output = show.stderr(Stdio::null()).output();
        let output = output.with_context(|| tools::cannot_start(&show))?;
        let missing = missing(packages, &String::from_utf8_lossy(&output.stdout));
        ensure!(
            missing.is_empty(),
            "the package lists of this machine ({}) have no {}: they have to be those of \
             {RELEASE}; a container of that release will do",
            this_system(),
            missing.join(", ")
        );
        Ok(())
    }

    /// The first package that `package` depends on: what a name without a version stands for.
    ///
    /// # Errors
    /// If there is no such package.
    pub fn dependency(&self, package: &str) -> Result<String> {
        // To ask takes a second, and the answer is the same until the lists are.
        let kept = self.directory.join(format!("{package}.dependency"));
        let lists = age(&self.directory.join("updated"));
        if let Ok(answer) = fs::read_to_string(&kept)
            && age(&kept).zip(lists).is_some_and(|(kept, lists)| kept < lists)
        {
            return Ok(answer);
        }
        self.require(&[package])?;
        let listing = tools::output(self.apt("apt-cache").args(["depends", package]))?;
        let answer = first_dependency(&listing)
            .with_context(|| format!("Debian's package {package} depends on nothing"))?;
        fs::write(kept, &answer)?;
        Ok(answer)
    }

    /// Downloads packages and unpacks them into one directory, which it gives.
    ///
    /// # Errors
    /// If this is another release, they cannot be downloaded, or the disk is full.
    pub fn unpack(&self, name: &str, packages: &[&str]) -> Result<PathBuf> {
        let tree = self.directory.join("trees").join(name);
        let receipt = tree.with_extension("packages");
        let wanted = packages.join("\n");
        if fs::read_to_string(&receipt).is_ok_and(|unpacked| unpacked == wanted) {
            return Ok(tree);
        }
        self.require(packages)?;
        // First, so that what is left when this is interrupted is not taken for what it says.
        fs::remove_file(&receipt).ok();
        fs::remove_dir_all(&tree).ok();
        let archives = self.directory.join("packages").join(name);
        fs::remove_dir_all(&archives).ok();
        fs::create_dir_all(&archives)?;
        ui::progress("Fetching", format_args!("{} from Debian", packages.join(", ")));
        let mut download = self.apt("apt-get");
        download.args(["download", "--quiet"]).args(packages).current_dir(&archives);
        tools::run(download.stdout(Stdio::null()))?;
        for archive in fs::read_dir(&archives)? {
            let mut unpack = Command::new("dpkg-deb");
            tools::run(unpack.arg("--extract").arg(archive?.path()).arg(&tree))?;
        }
        fs::remove_dir_all(&archives)?;
        // Last, so that what was interrupted is not taken for whole.
        fs::write(receipt, wanted)?;
        Ok(tree)
    }
}

/// How long ago a file was written, if there is one.
fn age(file: &Path) -> Option<Duration> {
    SystemTime::now().duration_since(file.metadata().ok()?.modified().ok()?).ok()
}

/// Those of `packages` that are not in what `apt-cache show` prints.
fn missing<'a>(packages: &[&'a str], records: &str) -> Vec<&'a str> {
    let found: HashSet<&str> =
        records.lines().filter_map(|line| line.strip_prefix("Package: ")).collect();
    packages.iter().copied().filter(|package| !found.contains(package)).collect()
}

/// What this machine calls its operating system (os-release(5)).
fn this_system() -> String {
    let text = fs::read_to_string("/etc/os-release").unwrap_or_default();
    pretty_name(&text).unwrap_or("an unknown system").to_owned()
}

fn pretty_name(os_release: &str) -> Option<&str> {
    let value = os_release.lines().find_map(|line| line.strip_prefix("PRETTY_NAME="))?;
    Some(value.trim_matches(['"', '\'']))
}

/// The package in the first line of apt-cache's that tells of a dependency.
fn first_dependency(listing: &str) -> Option<String> {
    listing
        .lines()
        .find_map(|line| line.trim().strip_prefix("Depends: "))
        .map(|name| name.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dependencies_are_read_from_what_apt_cache_prints() {
        let listing = "linux-image-arm64\n  Depends: linux-image-6.1.0-1-arm64\n";
        assert_eq!(first_dependency(listing).as_deref(), Some("linux-image-6.1.0-1-arm64"));
        assert_eq!(first_dependency("busybox\n"), None);
    }

    #[test]
    fn packages_that_the_lists_do_not_have_are_named() {
        let records = "Package: xl\nDepends: libc6\n\nPackage: libc6\nSource: glibc\n";
        assert_eq!(missing(&["libc6", "xen-utils-4.17", "xl"], records), ["xen-utils-4.17"]);
        assert_eq!(missing(&["glibc"], ""), ["glibc"]);
    }

    #[test]
    fn systems_say_what_they_are_called() {
        let name = "ID=debian\nPRETTY_NAME=\"Debian GNU/Linux 13 (trixie)\"\n";
        assert_eq!(pretty_name(name), Some("Debian GNU/Linux 13 (trixie)"));
        assert_eq!(pretty_name("PRETTY_NAME=Gentoo\n"), Some("Gentoo"));
        assert_eq!(pretty_name(""), None);
    }
}
