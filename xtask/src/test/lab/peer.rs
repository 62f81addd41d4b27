//! The programs of this test's own that dom0 runs.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Result;

use crate::arch::Arch;
use crate::lab::{Lab, Xen};
use crate::{paths, setup, tools};

/// Such a program.
#[derive(Clone, Copy, Debug)]
pub struct Peer {
    /// What it is called.
    pub name: &'static str,
    /// Its source.
    source: &'static str,
    /// What it is linked with, besides the C library.
    libraries: &'static [&'static str],
}

/// The other side of a vchan.
pub const VCHAN_ECHO: Peer = Peer {
    name: "vchan-echo",
    source: "xtask/src/test/lab/dom0/vchan_echo.rs",
    libraries: &["libxenvchan.so.4.17", "libxenstore.so.4"],
};

/// The back end of a console beside the first.
pub const CONSOLE_END: Peer = Peer {
    name: "console-end",
    source: "xtask/src/test/lab/dom0/console_end.rs",
    libraries: &["libxengnttab.so.1", "libxenevtchn.so.1"],
};

/// Builds such a program. It is linked with what the lab has of Debian, so it needs neither a C
/// compiler nor a C library here.
///
/// # Errors
/// If it cannot be built.
pub fn build(peer: Peer, xen: Xen) -> Result<PathBuf> {
    let tree = Lab::fetch(xen)?;
    let (triplet, loader) = match xen.arch() {
        Arch::X86_64 => ("x86_64-linux-gnu", "/lib64/ld-linux-x86-64.so.2"),
        _ => ("aarch64-linux-gnu", "/lib/ld-linux-aarch64.so.1"),
    };
    let target = format!("{}-unknown-linux-musl", xen.arch());
    setup::rust_standard_library(&target)?;
    let of_xen = peer.libraries.iter().map(|name| tree.join("usr/lib").join(triplet).join(name));
    let of_c = tree.join("lib").join(triplet).join("libc.so.6");
    let program = paths::repository().join("target").join(target.as_str()).join(peer.name);
    std::fs::create_dir_all(program.parent().unwrap_or(Path::new(".")))?;
    let mut rustc = Command::new(std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into()));
    rustc.args(["--edition=2024", "-O", "-Cpanic=abort", "-Cstrip=symbols", "--target", &target]);
    rustc.arg(format!("-Clinker={}", paths::Toolchain::find()?.linker.display()));
    rustc.args(["-Clinker-flavor=ld.lld", "-Clink-self-contained=no"]);
    rustc.args(["-Ctarget-feature=-crt-static", "-Clink-arg=--allow-shlib-undefined"]);
    rustc.arg(format!("-Clink-arg=--dynamic-linker={loader}"));
    for library in of_xen.chain([of_c]) {
        rustc.arg(format!("-Clink-arg={}", library.display()));
    }
    rustc.arg("-o").arg(&program).arg(peer.source).current_dir(paths::repository());
    tools::run(&mut rustc)?;
    Ok(program)
}
