//! Programs for Linux that need nothing else, built without a C compiler.
//!
//! Rust's standard library brings the musl C library along. For 32-bit ARM that one is not in every
//! mirror of Rust, so there it is Debian's glibc, whose package is fetched but not installed.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Result;

use crate::app::cargo;
use crate::arch::Arch;
use crate::debian::Packages;
use crate::{paths, tools, ui};

/// Where the packages of glibc and of the compiler's library have what is linked.
const GLIBC: &str = "usr/lib/arm-linux-gnueabihf";
const COMPILER: &str = "usr/lib/gcc/arm-linux-gnueabihf/12";

/// What a static program begins and ends with, in the order in which it is linked: a C compiler would
/// know.
const ENDS: [(&str, &str); 5] = [
    (GLIBC, "crt1.o"),
    (GLIBC, "crti.o"),
    (COMPILER, "crtbeginT.o"),
    (COMPILER, "crtend.o"),
    (GLIBC, "crtn.o"),
];

/// Builds one of a package's programs for Linux.
///
/// # Errors
/// If it cannot be built, or what it takes cannot be fetched.
pub fn program(package: &str, name: &str, arch: Arch) -> Result<PathBuf> {
    let target = target(arch);
    ui::progress("Building", format_args!("{name} for {target}"));
    crate::setup::rust_standard_library(target)?;
    let mut command: Command = cargo();
    command.args(["build", "--quiet", "--release", "--package", package]);
    command.args(["--bin", name, "--target", target]).current_dir(paths::repository());
    let linker = paths::Toolchain::find()?.linker;
    let mut flags = vec![format!("-Clinker={}", linker.display()), "-Clinker-flavor=ld.lld".into()];
    flags.extend(library(arch)?);
    tools::run(command.env("CARGO_ENCODED_RUSTFLAGS", flags.join("\x1f")))?;
    Ok(paths::repository().join("target").join(target).join("release").join(name))
}

fn target(arch: Arch) -> &'static str {
    match arch {
        Arch::X86_64 => "x86_64-unknown-linux-musl",
        Arch::Aarch64 => "aarch64-unknown-linux-musl",
        Arch::Armv7 => "armv7-unknown-linux-gnueabihf",
    }
}

/// How to link the C library.
fn library(arch: Arch) -> Result<Vec<String>> {
    if arch != Arch::Armv7 {
        return Ok(vec!["-Clink-self-contained=yes".into()]);
    }
    Ok(glibc(&Packages::of(arch)?.unpack("glibc", &["libc6-dev", "libgcc-12-dev"])?))
}

/// How to link the glibc that is in `tree`.
fn glibc(tree: &Path) -> Vec<String> {
    let fixed = ["self-contained=no", "arg=-static"].map(|option| format!("-Clink-{option}"));
    let searched =
        [GLIBC, COMPILER].map(|place| format!("-Clink-arg=-L{}", tree.join(place).display()));
    let linked =
        ENDS.map(|(place, file)| format!("-Clink-arg={}", tree.join(place).join(file).display()));
    let compiled = ["-Ctarget-feature=+crt-static", "-Crelocation-model=static"].map(str::to_owned);
    [&compiled[..], &fixed, &searched, &linked].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_ends_with_what_ends_it() {
        let flags = glibc(Path::new("/tree"));
        let place = |file: &str| flags.iter().position(|flag| flag.ends_with(file));
        assert!(place("crt1.o") < place("crti.o") && place("crti.o") < place("crtn.o"));
        assert_eq!(place("crtn.o"), Some(flags.len() - 1));
        assert!(flags.contains(&"-Clink-arg=-L/tree/usr/lib/arm-linux-gnueabihf".to_owned()));
    }
}
