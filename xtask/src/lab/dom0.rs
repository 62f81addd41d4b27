//! The first file system of dom0, which is the only one.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::{Xen, libraries, parts};
use crate::cpio::Archive;
use crate::linux::only_file;

const DIRECTORIES: [&str; 19] = [
    "bin",
    "dev",
    "etc",
    "etc/xen",
    "etc/xen/scripts",
    "guests",
    "lib",
    "modules",
    "proc",
    "run",
    "sys",
    "tmp",
    "usr",
    "usr/lib",
    "usr/sbin",
    "var",
    "var/lib",
    "var/log",
    "var/log/xen",
];

/// Packs the archive.
///
/// # Errors
/// If something is not in the packages.
pub fn file_system(tree: &Path, xen: Xen) -> Result<Vec<u8>> {
    let mut root = Root { archive: Archive::default() };
    for directory in DIRECTORIES {
        root.archive.directory(directory);
    }
    root.archive.character_device("dev/console", 5, 1);
    root.archive.file("init", include_bytes!("dom0/init.sh"));
    root.archive.file("etc/xen/scripts/vif-lab", include_bytes!("dom0/vif.sh"));
    root.archive.link("etc/xen/scripts/vif-bridge", "vif-lab");
    root.archive.file("etc/xen/scripts/block", include_bytes!("dom0/block.sh"));
    root.archive.file("etc/xen/xl.conf", b"");
    root.copy("etc/xen/oxenstored.conf", &tree.join("etc/xen/oxenstored.conf"))?;
    root.copy("bin/busybox", &tree.join("bin/busybox"))?;
    root.programs(tree, xen)?;
    root.modules(tree)?;
    Ok(root.archive.finish())
}

/// The archive, while it is filled.
struct Root {
    archive: Archive,
}

impl Root {
    fn copy(&mut self, path: &str, file: &Path) -> Result<()> {
        let bytes = fs::read(file).with_context(|| format!("cannot read {}", file.display()))?;
        self.archive.file(path, &bytes);
        Ok(())
    }

    /// Xen's tools, all in one directory, and their libraries.
    fn programs(&mut self, tree: &Path, xen: Xen) -> Result<()> {
        let from = tree.join(format!("usr/lib/xen-{}/bin", parts::VERSION));
        let mut programs: Vec<PathBuf> = parts::PROGRAMS
            .map(|name| from.join(name))
            .into_iter()
            .filter(|file| file.exists())
            .collect();
        // The others are links to this one.
        programs.push(tree.join("usr/bin/xenstore"));
        // libxl looks for its helpers where Debian has them.
        let private = format!("usr/lib/xen-{}", parts::VERSION);
        self.archive.directory(&private);
        self.archive.link(&format!("{private}/bin"), "/bin");
        for program in &programs {
            let name = program.file_name().context("a program has a name")?.to_string_lossy();
            self.copy(&format!("bin/{name}"), program)?;
        }
        for name in ["chmod", "exists", "list", "ls", "read", "rm", "watch", "write"] {
            self.archive.link(&format!("bin/xenstore-{name}"), "xenstore");
        }
        for (from, to) in parts::OTHERS {
            self.copy(to, &tree.join(from))?;
            programs.push(tree.join(from));
        }
        let (triplet, loader) = match xen {
            Xen::X86_64 => ("x86_64-linux-gnu", "lib64"),
            Xen::Aarch64 => ("aarch64-linux-gnu", "lib"),
            Xen::Armv7 => ("arm-linux-gnueabihf", "lib"),
        };
        if loader != "lib" {
            self.archive.link(loader, "lib");
        }
        for (name, file) in libraries::needed(tree, triplet, &programs)? {
            self.copy(&format!("lib/{name}"), &file)?;
        }
        Ok(())
    }

    /// The modules, and a list of them in the order in which they are loaded.
    fn modules(&mut self, tree: &Path) -> Result<()> {
        let from = only_file(&tree.join("lib/modules"), "")?.join("kernel");
        let mut order = String::new();
        for module in parts::MODULES {
            let file = from.join(module).with_extension("ko");
            let name = file.file_name().context("a module has a name")?.to_string_lossy();
            if file.exists() {
                self.copy(&format!("modules/{name}"), &file)?;
                order += &name;
                order.push('\n');
            }
        }
        self.archive.file("modules/order", order.as_bytes());
        Ok(())
    }
}
