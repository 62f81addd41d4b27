//! The programs of these tests' own that dom0 runs beside guests.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Result;

use crate::arch::Arch;
use crate::lab::{Lab, Session, Xen};
use crate::{linux, paths, setup, tools};

/// Such a program.
#[derive(Clone, Copy, Debug)]
pub enum Peer {
    /// The other side of a vchan.
    VchanEcho,
    /// The back end of a console beside the first.
    ConsoleEnd,
}

impl Peer {
    const fn name(self) -> &'static str {
        match self {
            Self::VchanEcho => "vchan-echo",
            Self::ConsoleEnd => "console-end",
        }
    }

    /// Builds the program and brings it to dom0.
    ///
    /// # Errors
    /// If it cannot be built, or dom0 does not take it.
    pub fn bring(self, session: &mut Session, xen: Xen) -> Result<()> {
        let path = match self {
            Self::VchanEcho => vchan_echo(self.name(), xen)?,
            Self::ConsoleEnd => linux::program("backends", self.name(), xen.arch())?,
        };
        session.send_file(self.name(), &path)?;
        session.succeed(&format!("chmod +x {}", self.name())).map(drop)
    }
}

/// Builds the program that uses Xen's library for vchans. It is linked with what the lab has of Debian,
/// so it needs neither a C compiler nor a C library here.
fn vchan_echo(name: &str, xen: Xen) -> Result<PathBuf> {
    const SOURCE: &str = "xtask/src/test/lab/dom0/vchan_echo/main.rs";

    let tree = Lab::fetch(xen)?;
    let (triplet, loader) = match xen.arch() {
        Arch::X86_64 => ("x86_64-linux-gnu", "/lib64/ld-linux-x86-64.so.2"),
        _ => ("aarch64-linux-gnu", "/lib/ld-linux-aarch64.so.1"),
    };
    let target = format!("{}-unknown-linux-musl", xen.arch());
    setup::rust_standard_library(&target)?;
    let of_xen = ["libxenvchan.so.4.17", "libxenstore.so.4"]
        .map(|name| tree.join("usr/lib").join(triplet).join(name));
    let of_c = tree.join("lib").join(triplet).join("libc.so.6");
    let program = paths::repository().join("target").join(target.as_str()).join(name);
    std::fs::create_dir_all(program.parent().unwrap_or(Path::new(".")))?;
    let mut rustc = Command::new(std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into()));
    rustc.args(["--edition=2024", "-O", "-Cpanic=abort", "-Cstrip=symbols", "--target", &target]);
    rustc.arg(format!("-Clinker={}", paths::Toolchain::find()?.linker.display()));
    rustc.args(["-Clinker-flavor=ld.lld", "-Clink-self-contained=no"]);
    rustc.args(["-Ctarget-feature=-crt-static", "-Clink-arg=--allow-shlib-undefined"]);
    rustc.arg(format!("-Clink-arg=--dynamic-linker={loader}"));
    for library in of_xen.into_iter().chain([of_c]) {
        rustc.arg(format!("-Clink-arg={}", library.display()));
    }
    rustc.arg("-o").arg(&program).arg(SOURCE).current_dir(paths::repository());
    tools::run(&mut rustc)?;
    Ok(program)
}
