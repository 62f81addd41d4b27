//! Installing what is missing, where that is possible without asking.

use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::arch::Arch;
use crate::paths::Toolchain;
use crate::{tools, ui};

/// A program that is not ours, and the Debian package that it is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Program {
    /// What it is called.
    pub name: &'static str,
    /// The package.
    pub package: &'static str,
    /// What it is needed for.
    pub purpose: &'static str,
}

/// The programs that Mayfly uses, beside the Rust toolchain.
pub const PROGRAMS: [Program; 16] = [
    program("qemu-system-x86_64", "qemu-system-x86", "run x86-64 images"),
    program("qemu-system-aarch64", "qemu-system-arm", "run AArch64 images"),
    program("qemu-system-arm", "qemu-system-arm", "run ARMv7 images"),
    program("passt", "passt", "run --on unix without a TAP interface"),
    program("curl", "curl", "test the HTTP example"),
    program("dig", "bind9-dnsutils", "test name resolution and the echo example"),
    program("dnsmasq", "dnsmasq-base", "test name resolution and DHCP"),
    program("nc", "netcat-openbsd", "test the echo example"),
    program("wrk", "wrk", "load the HTTP example"),
    program("ip", "iproute2", "test on a network of its own"),
    program("nft", "nftables", "lose frames in tests"),
    program("ping", "iputils-ping", "test on a network of its own"),
    program("unshare", "util-linux", "test on a network of its own"),
    program("gcc", "gcc", "bench, to compile its instruction counter"),
    program("g++", "g++", "compile the library of the fuzzer"),
    program("gdb-multiarch", "gdb-multiarch", "run --gdb on other architectures"),
];

const fn program(name: &'static str, package: &'static str, purpose: &'static str) -> Program {
    Program { name, package, purpose }
}

/// Sees to it that Rust can compile for `arch`.
pub fn rust_target(arch: Arch) -> Result<()> {
    rust_standard_library(arch.target())
}

/// Sees to it that the libraries for a target of Rust are there.
pub fn rust_standard_library(target: &str) -> Result<()> {
    if Toolchain::find()?.has_target(target) {
        return Ok(());
    }
    let mut command = Command::new("rustup");
    command.args(["target", "add", target]);
    ui::progress("Installing", format_args!("the Rust target {target}"));
    tools::run(command.stdout(Stdio::null())).with_context(|| {
        format!(
            "Rust cannot compile for {target} yet; install Rust with rustup (https://rustup.rs), \
             then run `{}`",
            tools::describe(&command)
        )
    })
}

/// Sees to it that the programs called `names` are there.
///
/// # Errors
/// If one is missing and cannot be installed; the error has the command that installs it.
pub fn programs(names: &[&str]) -> Result<()> {
    let mut packages: Vec<&str> = PROGRAMS
        .iter()
        .filter(|program| names.contains(&program.name) && tools::find(program.name).is_none())
        .map(|program| program.package)
        .collect();
    packages.dedup();
    if packages.is_empty() {
        return Ok(());
    }
    install(&packages)?;
    match names.iter().find(|name| tools::find(name).is_none()) {
        Some(missing) => {
            bail!("{} was installed, but there is still no {missing}", packages.join(", "))
        }
        None => Ok(()),
    }
}

/// Installs Debian packages.
fn install(packages: &[&str]) -> Result<()> {
    let by_hand = format!("sudo apt-get install {}", packages.join(" "));
    if tools::find("apt-get").is_none() {
        bail!("missing: {}; install them with your system's package manager", packages.join(", "));
    }
    let Some(apt) = Apt::allowed() else {
        bail!("missing: {}; run `{by_hand}`", packages.join(", "))
    };
    ui::progress("Installing", packages.join(", "));
    if packages.iter().any(|package| candidate(package).is_none()) {
        apt.run(&["update", "--quiet"])?;
    }
    let words: Vec<String> = packages.iter().map(|&package| package.to_owned()).collect();
    if apt.install(&words).is_ok() {
        return Ok(());
    }
    // The lists of packages may be older than the packages.
    apt.run(&["update", "--quiet"]).ok();
    if apt.install(&words).is_ok() {
        return Ok(());
    }
    // A qemu-utils from a newer release stands in the way of QEMU itself.
    let pinned = packages
        .iter()
        .filter(|package| package.starts_with("qemu-system"))
        .find_map(|package| candidate(package))
        .map(|version| [format!("qemu-utils={version}"), "ipxe-qemu".to_owned()]);
    let Some(pinned) = pinned else {
        bail!("apt-get failed; run `{by_hand}` and see what it says")
    };
    ui::progress("Installing", "once more, with the qemu-utils of the same version");
    apt.install(&[words, pinned.to_vec()].concat())
        .with_context(|| format!("run `{by_hand}` and see what it says"))
}

/// The version of a package that would be installed.
fn candidate(package: &str) -> Option<String> {
    let output = Command::new("apt-cache").args(["policy", package]).output().ok()?;
    candidate_in(&String::from_utf8_lossy(&output.stdout))
}

/// Reads what `apt-cache policy` says, in English or not: the second line is the candidate.
fn candidate_in(policy: &str) -> Option<String> {
    let line = policy.lines().nth(2)?;
    let version = line.split_once(": ")?.1.trim();
    (!version.starts_with('(')).then(|| version.to_owned())
}

/// Whether this process may do anything.
pub fn is_root() -> bool {
    let id = Command::new("id").arg("-u").stdin(Stdio::null()).stderr(Stdio::null()).output();
    id.is_ok_and(|id| String::from_utf8_lossy(&id.stdout).trim() == "0")
}

/// apt-get, with the right to install.
struct Apt {
    sudo: bool,
}

impl Apt {
    /// If we are root, or sudo asks for no password.
    fn allowed() -> Option<Self> {
        if is_root() {
            return Some(Self { sudo: false });
        }
        let mut sudo = Command::new("sudo");
        sudo.args(["-n", "true"]).stdin(Stdio::null()).stderr(Stdio::null());
        sudo.status().is_ok_and(|status| status.success()).then_some(Self { sudo: true })
    }

    fn install(&self, words: &[String]) -> Result<()> {
        let fixed =
            ["install", "--yes", "--quiet", "--no-install-recommends", "--allow-downgrades"];
        let words: Vec<&str> = fixed.into_iter().chain(words.iter().map(String::as_str)).collect();
        self.run(&words)
    }

    /// Runs apt-get; what it prints goes to standard error, where our progress goes.
    fn run(&self, words: &[&str]) -> Result<()> {
        let mut command = Command::new(if self.sudo { "sudo" } else { "apt-get" });
        if self.sudo {
            command.args(["-n", "apt-get"]);
        }
        command.args(words).env("DEBIAN_FRONTEND", "noninteractive").stdin(Stdio::null());
        let output = command.output().with_context(|| tools::cannot_start(&command))?;
        if !output.status.success() {
            eprint!("{}", String::from_utf8_lossy(&output.stderr));
            bail!("`{}` failed", tools::describe(&command));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_candidate_is_read_from_what_apt_says() {
        let policy = "qemu-system-x86:\n  Installed: (none)\n  Candidate: 1:7.2+dfsg-7\n";
        assert_eq!(candidate_in(policy).as_deref(), Some("1:7.2+dfsg-7"));
        assert_eq!(candidate_in("x:\n  Installed: (none)\n  Candidate: (none)\n"), None);
        assert_eq!(candidate_in(""), None);
    }
}
