//! Machines that lack a program, or a target of Rust: it is installed, or what installs it is said.
//!
//! Such a machine is this one with another search path, which leads to links to all programs but some,
//! and to an apt-get that installs a link to what is missing, or a rustup that makes its directory.

use std::ffi::OsString;
use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};

use super::GREETING;
use super::typed::{Ended, Typed, xtask};
use crate::arch::Arch;
use crate::temporary::TemporaryDirectory;
use crate::tools;

/// What is missing, and the package that it is in.
const MISSING: &str = "qemu-system-x86_64";
const PACKAGE: &str = "qemu-system-x86";
/// Where a sysroot of Rust has its targets.
const TARGETS: &str = "lib/rustlib";
/// What may be on the machine that is not to be asked here.
const HIDDEN: [&str; 3] = [MISSING, "apt-get", "sudo"];

/// What knows of targets of Rust, and installs them.
const RUST: [&str; 2] = ["rustc", "rustup"];

/// A machine without some programs.
struct Bare {
    programs: TemporaryDirectory,
}

impl Bare {
    fn without(hidden: &[&str]) -> Result<Self> {
        let programs = TemporaryDirectory::new()?;
        let path = std::env::var_os("PATH").context("there is no search path")?;
        for directory in std::env::split_paths(&path) {
            for program in fs::read_dir(directory).into_iter().flatten().flatten() {
                let name = program.file_name();
                if hidden.iter().all(|hidden| name != *hidden) {
                    // That there is one of this name already is as it is with search paths.
                    symlink(program.path(), programs.path().join(name)).ok();
                }
            }
        }
        Ok(Self { programs })
    }

    fn program(&self, name: &str) -> PathBuf {
        self.programs.path().join(name)
    }

    fn script(&self, name: &str, text: &str) -> Result<()> {
        fs::write(self.program(name), format!("#!/bin/sh\n{text}\n"))?;
        Ok(fs::set_permissions(self.program(name), Permissions::from_mode(0o755))?)
    }

    /// Adds an apt-get, and a sudo in case that we are not root. Returns where apt-get writes what it
    /// was asked for.
    fn with_apt(&self) -> Result<PathBuf> {
        let (log, link) = (self.program("asked"), self.program(MISSING));
        let real = tools::find(MISSING).with_context(|| format!("there is no {MISSING}"))?;
        self.script("sudo", "[ \"$1\" = -n ] && shift\nexec \"$@\"")?;
        self.script(
            "apt-get",
            &format!(
                "echo \"$*\" >>{}\n[ \"$1\" != install ] || ln -s {} {}",
                log.display(),
                real.display(),
                link.display()
            ),
        )?;
        Ok(log)
    }

    /// Adds a rustc that has no standard library for `target`, whatever rustup has installed here. It
    /// compiles all the same.
    fn with_rustc_without(&self, target: &str) -> Result<()> {
        let sysroot = tools::output(Command::new("rustc").arg("--print=sysroot"))?;
        let real = PathBuf::from(sysroot.trim());
        fs::create_dir_all(self.targets())?;
        for entry in fs::read_dir(real.join(TARGETS))?.flatten() {
            if entry.file_name() != target {
                symlink(entry.path(), self.targets().join(entry.file_name()))?;
            }
        }
        let (bare, real) = (self.sysroot(), real.join("bin/rustc"));
        let (bare, real) = (bare.display(), real.display());
        // Cargo asks for more at once.
        let asks = "[ \"$*\" = '--print=sysroot --print=host-tuple' ]";
        let rustc = format!("{asks} || exec {real} \"$@\"\necho {bare}; {real} --print=host-tuple");
        self.script("rustc", &rustc)
    }

    /// Adds a rustup. Returns where it writes what it was asked for.
    fn with_rustup(&self, target: &str) -> Result<PathBuf> {
        let (log, targets) = (self.program("asked"), self.targets());
        let (to, at) = (log.display(), targets.display());
        self.script("rustup", &format!("echo \"$*\" >>{to}\nmkdir -p {at}/{target}/lib"))?;
        Ok(log)
    }

    fn sysroot(&self) -> PathBuf {
        self.program("sysroot")
    }

    fn targets(&self) -> PathBuf {
        self.sysroot().join(TARGETS)
    }

    /// Types a command there.
    fn types(&self, words: &[&str]) -> Result<Ended> {
        let mut command = xtask(words)?;
        command.env("PATH", OsString::from(self.programs.path())).env_remove("RUSTC");
        Typed::start(command, Stdio::null())?.end()
    }
}

/// `doctor` finds out, `run` cannot go on without apt-get, and with it installs what it needs.
pub fn is_installed() -> Result<()> {
    let bare = Bare::without(&HIDDEN)?;
    let line = format!("MISSING  {MISSING}");
    let remedy = format!("apt-get install {PACKAGE}");
    bare.types(&["doctor"])?.with(1)?.saying(&line)?.saying(&remedy)?.saying("1 missing")?;
    let missing = format!("missing: {PACKAGE}; install");
    bare.types(&["run", "hello"])?.with(1)?.saying(&missing)?;
    let log = bare.with_apt()?;
    let installing = format!("Installing {PACKAGE}");
    bare.types(&["run", "hello"])?.with(0)?.saying(&installing)?.saying(GREETING)?;
    let asked = fs::read_to_string(log)?;
    let is_right = |line: &str| line.starts_with("install ") && line.ends_with(PACKAGE);
    ensure!(asked.lines().any(is_right), "apt-get was asked for:\n{asked}");
    bare.types(&["doctor"])?.with(0)?.saying("everything needed is here").map(drop)
}

/// `build` cannot go on without rustup, and with it installs the target that it needs.
pub fn target_is_installed() -> Result<()> {
    let bare = Bare::without(&RUST)?;
    let target = Arch::X86_64.target();
    bare.with_rustc_without(target)?;
    let remedy = format!("rustup target add {target}");
    bare.types(&["build", "hello"])?.with(1)?.saying(&format!("run `{remedy}`"))?;
    let log = bare.with_rustup(target)?;
    let installing = format!("Installing the Rust target {target}");
    bare.types(&["build", "hello"])?.with(0)?.saying(&installing)?;
    let again = bare.types(&["build", "hello"])?.with(0)?;
    ensure!(!again.text.contains(&installing), "it is installed again:\n{}", again.text);
    let asked = fs::read_to_string(log)?;
    ensure!(asked == format!("target add {target}\n"), "rustup was asked for:\n{asked}");
    Ok(())
}
