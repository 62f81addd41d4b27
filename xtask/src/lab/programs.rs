//! Programs for dom0 that only some tests ask for, with all the libraries that they need. They are
//! large, so they are neither fetched nor in dom0 before.

use std::path::PathBuf;

use anyhow::{Context, Result};

use super::{Session, Xen, libraries};
use crate::debian::{self, Packages};
use crate::tools::quote;

/// Clients of the network as people have them: curl, ping and dig.
pub const CLIENTS: Programs = Programs {
    name: "clients",
    place: "/run/clients",
    programs: &["usr/bin/curl", "bin/ping", "usr/bin/dig"],
    packages: &[
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
    ],
};

/// QEMU as xl starts it for a guest that needs a back end of QEMU's. Debian has it for x86-64 only.
pub const QEMU: Programs = Programs {
    name: "qemu",
    place: "/run/qemu",
    programs: &["usr/libexec/xen-qemu-system-i386"],
    packages: &[
        "libblkid1",
        "libbz2-1.0",
        "libc6",
        "libcap2",
        "libdw1",
        "libelf1",
        "libfdt1",
        "libffi8",
        "libgcc-s1",
        "libglib2.0-0",
        "libgstreamer-plugins-base1.0-0",
        "libgstreamer1.0-0",
        "libjpeg62-turbo",
        "liblz4-1",
        "liblzma5",
        "libmount1",
        "libopus0",
        "liborc-0.4-0",
        "libpcre2-8-0",
        "libpixman-1-0",
        "libsasl2-2",
        "libselinux1",
        "libspice-server1",
        "libssl3",
        "libstdc++6",
        "libudev1",
        "libunwind8",
        "libusb-1.0-0",
        "libxencall1",
        "libxendevicemodel1",
        "libxenevtchn1",
        "libxenforeignmemory1",
        "libxengnttab1",
        "libxenmisc4.17",
        "libxenstore4",
        "libxentoolcore1",
        "libxentoollog1",
        "libzstd1",
        "qemu-system-xen",
        "zlib1g",
    ],
};

/// Programs that are fetched and sent together.
pub struct Programs {
    /// What they are called together.
    name: &'static str,
    /// Where they are in dom0; they need it as `LD_LIBRARY_PATH`.
    pub place: &'static str,
    /// Their files, in the tree of their packages.
    programs: &'static [&'static str],
    /// Packages with the programs and with what these need, by hand, because nothing is installed.
    packages: &'static [&'static str],
}

impl Programs {
    /// Fetches what is not there yet.
    ///
    /// # Errors
    /// If it cannot be fetched, or a library is missing.
    pub fn fetch(&self, xen: Xen) -> Result<Fetched> {
        let tree = Packages::of(xen.arch())?.unpack(self.name, self.packages)?;
        let _packages = debian::lock(xen.arch())?;
        let programs: Vec<PathBuf> = self.programs.iter().map(|file| tree.join(file)).collect();
        let triplet = format!("{}-linux-gnu", xen.arch());
        let mut files = Vec::new();
        for program in &programs {
            let name = program.file_name().context("a program has a name")?;
            files.push((name.to_string_lossy().into_owned(), program.clone()));
        }
        files.extend(libraries::needed(&tree, &triplet, &programs)?);
        Ok(Fetched { place: self.place, files })
    }

    /// Takes them away from dom0, even if one is just about to end.
    ///
    /// # Errors
    /// If dom0 does not answer.
    pub fn remove(&self, session: &mut Session) -> Result<()> {
        session.succeed(&format!("umount -l {0} && rmdir {0}", self.place)).map(|_| ())
    }
}

/// Programs that can be sent, and their libraries.
pub struct Fetched {
    place: &'static str,
    files: Vec<(String, PathBuf)>,
}

impl Fetched {
    /// Puts them into dom0.
    ///
    /// # Errors
    /// If dom0 does not answer, or has no room.
    pub fn send(&self, session: &mut Session) -> Result<()> {
        let place = self.place;
        session.succeed(&format!("mkdir {place} && mount -t tmpfs -o size=90% tmpfs {place}"))?;
        for (name, file) in &self.files {
            session.send_file(&format!("{place}/{}", quote(name)), file)?;
        }
        session.succeed(&format!("chmod +x {place}/*")).map(|_| ())
    }
}
