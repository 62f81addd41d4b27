//! The programs of this test's own that dom0 runs.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Result;

use crate::arch::Arch;
use crate::lab::{Lab, Xen};
use crate::{paths, setup, tools};

/// The source of the other side of a vchan.
const VCHAN_ECHO: &str = "xtask/src/test/lab/dom0/vchan_echo.rs";

/// Builds the program that is the other side of a vchan. It is linked with what the lab has of
/// Debian, so it needs neither a C compiler nor a C library here.
///
/// # Errors
/// If it cannot be built.
pub fn vchan_echo(xen: Xen) -> Result<PathBuf> {
    let tree = Lab::fetch(xen)?;
    let (triplet, loader) = match xen.arch() {
        Arch::X86_64 => ("x86_64-linux-gnu", "/lib64/ld-linux-x86-64.so.2"),
        _ => ("aarch64-linux-gnu", "/lib/ld-linux-aarch64.so.1"),
    };
    let target = format!("{}-unknown-linux-musl", xen.arch());
    setup::rust_standard_library(&target)?;
    let libraries = [
        tree.join("usr/lib").join(triplet).join("libxenvchan.so.4.17"),
        tree.join("usr/lib").join(triplet).join("libxenstore.so.4"),
        tree.join("lib").join(triplet).join("libc.so.6"),
    ];
    let program = paths::repository().join("target").join(target.as_str()).join("vchan-echo");
    std::fs::create_dir_all(program.parent().unwrap_or(Path::new(".")))?;
    let mut rustc = Command::new(std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into()));
    rustc.args(["--edition=2024", "-O", "-Cpanic=abort", "-Cstrip=symbols", "--target", &target]);
    rustc.arg(format!("-Clinker={}", paths::Toolchain::find()?.linker.display()));
    rustc.args(["-Clinker-flavor=ld.lld", "-Clink-self-contained=no"]);
    rustc.args(["-Ctarget-feature=-crt-static", "-Clink-arg=--allow-shlib-undefined"]);
    rustc.arg(format!("-Clink-arg=--dynamic-linker={loader}"));
    for library in libraries {
        rustc.arg(format!("-Clink-arg={}", library.display()));
    }
    rustc.arg("-o").arg(&program).arg(VCHAN_ECHO).current_dir(paths::repository());
    tools::run(&mut rustc)?;
    Ok(program)
}
