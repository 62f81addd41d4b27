//! Clients of the network as people have them, for dom0: curl, ping and dig, with all the libraries
//! that they need. They are large, so they get into dom0 only when a test asks for them.

use std::path::PathBuf;

use anyhow::{Context, Result};

use super::{Session, Xen, libraries};
use crate::debian::{self, Packages};
use crate::tools::quote;

/// The programs, in the tree of their packages.
const PROGRAMS: [&str; 3] = ["usr/bin/curl", "bin/ping", "usr/bin/dig"];

/// Packages with the programs and with what these need, by hand, because nothing is installed.
const PACKAGES: [&str; 48] = [
    "bind9-dnsutils",
    "bind9-libs",
    "curl",
    "iputils-ping",
    "libbrotli1",
    "libbsd0",
    "libc6",
    "libcap2",
    "libcom-err2",
    "libcurl4",
    "libedit2",
    "libffi8",
    "libfstrm0",
    "libgcc-s1",
    "libgmp10",
    "libgnutls30",
    "libgssapi-krb5-2",
    "libhogweed6",
    "libicu72",
    "libidn2-0",
    "libjemalloc2",
    "libjson-c5",
    "libk5crypto3",
    "libkeyutils1",
    "libkrb5-3",
    "libkrb5support0",
    "libldap-2.5-0",
    "liblmdb0",
    "liblzma5",
    "libmaxminddb0",
    "libmd0",
    "libnettle8",
    "libnghttp2-14",
    "libp11-kit0",
    "libprotobuf-c1",
    "libpsl5",
    "librtmp1",
    "libsasl2-2",
    "libssh2-1",
    "libssl3",
    "libstdc++6",
    "libtasn1-6",
    "libtinfo6",
    "libunistring2",
    "libuv1",
    "libxml2",
    "libzstd1",
    "zlib1g",
];

/// Where they are in dom0.
pub const PLACE: &str = "/run/clients";

/// curl, ping and dig.
pub struct Clients {
    files: Vec<(String, PathBuf)>,
}

impl Clients {
    /// Fetches what is not there yet.
    ///
    /// # Errors
    /// If it cannot be fetched, or a library is missing.
    pub fn fetch(xen: Xen) -> Result<Self> {
        let tree = Packages::of(xen.arch())?.unpack("clients", &PACKAGES)?;
        let _packages = debian::lock(xen.arch())?;
        let programs = PROGRAMS.map(|program| tree.join(program));
        let triplet = format!("{}-linux-gnu", xen.arch());
        let mut files = Vec::new();
        for program in &programs {
            let name = program.file_name().context("a program has a name")?;
            files.push((name.to_string_lossy().into_owned(), program.clone()));
        }
        files.extend(libraries::needed(&tree, &triplet, &programs)?);
        Ok(Self { files })
    }

    /// Puts them into dom0: `/run/clients/curl` and so on, which need `LD_LIBRARY_PATH=/run/clients`.
    ///
    /// # Errors
    /// If dom0 does not answer, or has no room.
    pub fn send(&self, session: &mut Session) -> Result<()> {
        session.succeed(&format!("mkdir {PLACE} && mount -t tmpfs -o size=90% tmpfs {PLACE}"))?;
        for (name, file) in &self.files {
            session.send_file(&format!("{PLACE}/{}", quote(name)), file)?;
        }
        session.succeed(&format!("chmod +x {PLACE}/*")).map(|_| ())
    }

    /// Takes them away.
    ///
    /// # Errors
    /// If dom0 does not answer.
    pub fn remove(session: &mut Session) -> Result<()> {
        session.succeed(&format!("umount {PLACE} && rmdir {PLACE}")).map(|_| ())
    }
}
