//! `doctor`: what this machine has and lacks.

use std::process::Command;

use anyhow::Result;
use clap::Args;

use crate::arch::Arch;
use crate::paths::Toolchain;
use crate::setup::{self, PROGRAMS};
use crate::{cargo_tools, tools};

/// Checks that everything is installed, and says how to install what is not.
#[derive(Args)]
#[command(after_help = "Examples:
  cargo xtask doctor
  cargo xtask doctor --install

The exit status is 0 if nothing needed is missing.")]
pub struct Options {
    /// Installs what is missing, where that is possible: with rustup, and with apt-get as root or
    /// by sudo without a password.
    #[arg(long)]
    install: bool,
}

/// One finding.
struct Check {
    name: String,
    purpose: String,
    /// Version or place of what was found.
    found: Option<String>,
    /// The command that installs it.
    remedy: String,
    needed: bool,
}

impl Options {
    /// Checks, and prints a line for each thing.
    pub fn execute(&self) -> Result<u8> {
        if self.install {
            for arch in Arch::ALL {
                setup::rust_target(arch)?;
            }
            setup::programs(&PROGRAMS.map(|program| program.name))?;
        }
        let mut checks = rust_checks()?;
        checks.extend(program_checks());
        checks.extend(optional_checks());
        checks.iter().for_each(print);
        let missing = checks.iter().filter(|check| check.needed && check.found.is_none()).count();
        match missing {
            0 => println!("everything needed is here"),
            _ => {
                println!("{missing} missing; `cargo xtask doctor --install` tries to install them")
            }
        }
        Ok(u8::from(missing > 0))
    }
}

fn print(check: &Check) {
    let Check { name, purpose, found, remedy, needed } = check;
    match found {
        Some(version) => println!("ok       {name:<32} {version}"),
        None if *needed => println!("MISSING  {name:<32} to {purpose}: {remedy}"),
        None => println!("optional {name:<32} to {purpose}: {remedy}"),
    }
}

fn rust_checks() -> Result<Vec<Check>> {
    let toolchain = Toolchain::find()?;
    let version = first_line(Command::new("rustc").arg("--version"));
    let mut checks = vec![Check {
        name: "rustc".into(),
        purpose: "compile".into(),
        found: version,
        remedy: "https://rustup.rs".into(),
        needed: true,
    }];
    checks.extend(Arch::ALL.map(|arch| Check {
        name: format!("target {}", arch.target()),
        purpose: format!("build for {arch}"),
        found: toolchain.has_target(arch.target()).then(|| "installed".into()),
        remedy: format!("rustup target add {}", arch.target()),
        needed: true,
    }));
    Ok(checks)
}

fn program_checks() -> Vec<Check> {
    let check = |program: setup::Program| Check {
        name: program.name.into(),
        purpose: program.purpose.into(),
        found: tools::find(program.name).map(|path| path.display().to_string()),
        remedy: format!("apt-get install {}", program.package),
        // gdb on the host's own architecture is plain gdb; only a nightly toolchain can fuzz.
        needed: !["gdb-multiarch", "g++"].contains(&program.name),
    };
    PROGRAMS.map(check).into()
}

fn optional_checks() -> Vec<Check> {
    let mut miri = Command::new("cargo");
    miri.args(["+nightly", "miri", "--version"]);
    let installed = |name: &str| cargo_tools::find(name).map(|path| path.display().to_string());
    let check = |name: &str, purpose: &str, found: Option<String>, remedy: &str| Check {
        name: name.into(),
        purpose: purpose.into(),
        found,
        remedy: remedy.into(),
        needed: false,
    };
    vec![
        check(
            "miri",
            "check unsafe code in `cargo xtask test`",
            first_line(&mut miri),
            "rustup toolchain install nightly --component miri,rust-src",
        ),
        check(
            "cargo-fuzz",
            "fuzz in `cargo xtask test`, with a nightly toolchain",
            installed("cargo-fuzz"),
            "cargo install --locked cargo-fuzz",
        ),
        check(
            "cargo-deny",
            "check licences and advisories in `cargo xtask ci`",
            installed("cargo-deny"),
            "cargo install --locked cargo-deny",
        ),
    ]
}

/// The first line that a command prints, if it succeeds.
pub fn first_line(command: &mut Command) -> Option<String> {
    let output = command.output().ok().filter(|output| output.status.success())?;
    Some(String::from_utf8_lossy(&output.stdout).lines().next()?.to_owned())
}
