//! Unpacking the hypervisor and the kernel of dom0.
//!
//! Under QEMU's translation it is quicker to unpack them once, here, than at each boot, there.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};

use super::{HYPERVISOR, KERNEL, Lab, Xen, parts};
use crate::debian;
use crate::linux::only_file;
use crate::{shared, tools};

/// Puts both where the lab has them; another lab may be booting from there.
///
/// # Errors
/// If they are not in the packages, or not packed as expected.
pub fn unpack(tree: &Path, lab: &Lab) -> Result<()> {
    let boot = tree.join("boot");
    let name = format!("xen-{}-{}", parts::VERSION, debian::name(lab.xen.arch()));
    let packed = fs::read(boot.join(&name)).or_else(|_| fs::read(boot.join(name + ".gz")))?;
    shared::replace(&lab.directory().join(HYPERVISOR), &unpacked(&packed)?)?;
    let kernel = fs::read(only_file(&boot, "vmlinuz")?)?;
    let kernel = match lab.xen {
        Xen::X86_64 => unpacked(payload(&kernel).context("the kernel of dom0 is no bzImage")?)?,
        Xen::Aarch64 | Xen::Armv7 => kernel,
    };
    shared::replace(&lab.directory().join(KERNEL), &kernel)
}

/// The compressed kernel in a bzImage (Linux's Documentation/arch/x86/boot.rst: `setup_sects`,
/// `payload_offset`, `payload_length`).
fn payload(image: &[u8]) -> Option<&[u8]> {
    let word = |at: usize| {
        let bytes = image.get(at..at + 4)?;
        usize::try_from(u32::from_le_bytes(bytes.try_into().ok()?)).ok()
    };
    if image.get(0x202..0x206)? != b"HdrS" {
        return None;
    }
    let sectors = match image.get(0x1f1)? {
        0 => 4,
        more => usize::from(*more),
    };
    let start = (sectors + 1) * 512 + word(0x248)?;
    image.get(start..start.checked_add(word(0x24c)?)?)
}

/// What was compressed, by the magic numbers of gzip, xz and Zstandard; anything else as it is.
fn unpacked(packed: &[u8]) -> Result<Vec<u8>> {
    let (program, only_this): (_, &[&str]) = match packed {
        [0x1f, 0x8b, ..] => ("gzip", &[]),
        // Linux's build appends the size of what it packed.
        [0xfd, b'7', b'z', ..] => ("xz", &["--single-stream"]),
        [0x28, 0xb5, 0x2f, 0xfd, ..] => ("zstd", &["--quiet"]),
        _ => return Ok(packed.to_vec()),
    };
    let mut command = Command::new(program);
    command.args(["--decompress", "--stdout"]).args(only_this);
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .with_context(|| format!("cannot start {program}; install it"))?;
    let mut input = child.stdin.take().context("no pipe")?;
    let output = std::thread::scope(|scope| {
        // It may end before it has read all: what follows the data is not its own.
        scope.spawn(move || drop(input.write_all(packed)));
        child.wait_with_output()
    })?;
    ensure!(!output.stdout.is_empty(), "`{}` failed", tools::describe(&command));
    Ok(output.stdout)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_payload_is_where_the_header_says() {
        let mut image = vec![0; 0x600];
        image[0x1f1] = 1;
        image[0x202..0x206].copy_from_slice(b"HdrS");
        image[0x248] = 16;
        image[0x24c] = 4;
        image[1024 + 16..1024 + 20].copy_from_slice(b"data");
        assert_eq!(payload(&image), Some(&b"data"[..]));
        image[0x24f] = 0xff;
        assert_eq!(payload(&image), None);
        assert_eq!(payload(b"short"), None);
    }
}
