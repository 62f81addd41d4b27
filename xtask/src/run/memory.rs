//! Whether a guest's memory has room for its image: without that, some machines start and do
//! nothing, and others fail with a message that is not about memory.

use std::ops::Range;

use anyhow::{Context, Result, ensure};

use crate::arch::Arch;
use crate::build::{Image, elf};

pub const MEBIBYTE: u64 = 1 << 20;

/// Fails if an image does not fit into memory of a size that is given as for QEMU.
///
/// # Errors
/// If it does not fit, with the size that it needs; or if the image cannot be read.
pub fn ensure_room(image: &Image, size: &str) -> Result<()> {
    // What is no size to us may be one to QEMU, which says so if not.
    let Some(memory) = bytes(size) else { return Ok(()) };
    let file = std::fs::read(&image.elf)
        .with_context(|| format!("cannot read {}", image.elf.display()))?;
    let file = object::File::parse(file.as_slice())?;
    let addresses = elf::symbol(&file, "__image_start")?..elf::symbol(&file, "__image_end")?;
    let least = least(image.arch, &addresses);
    ensure!(
        memory >= least,
        "the image does not fit into `--memory {size}`; give it {}M or more",
        least.div_ceil(MEBIBYTE)
    );
    Ok(())
}

/// The least memory with which the image at these addresses is entered, in bytes. To run well, an
/// app needs some more, but that is for the app to say.
fn least(arch: Arch, addresses: &Range<u64>) -> u64 {
    let image = addresses.end.saturating_sub(addresses.start);
    match arch {
        // It is always loaded at 1 MiB.
        Arch::X86_64 => image.saturating_add(MEBIBYTE),
        // In less, QEMU finds no place for the device tree.
        Arch::Aarch64 => image.max(3 * MEBIBYTE),
        Arch::Armv7 => image,
    }
}

/// The number of bytes in a size: a whole number of MiB, or with a suffix, as QEMU takes it.
pub fn bytes(size: &str) -> Option<u64> {
    let digits = size.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit: u64 = match size.strip_prefix(digits)? {
        "k" | "K" => 1 << 10,
        "" | "m" | "M" => MEBIBYTE,
        "g" | "G" => 1 << 30,
        _ => return None,
    };
    digits.parse::<u64>().ok()?.checked_mul(unit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_as_qemu_reads_them() {
        assert_eq!(bytes("64"), Some(64 << 20));
        assert_eq!(bytes("64M"), bytes("64m"));
        assert_eq!((bytes("512K"), bytes("2G")), (Some(512 << 10), Some(2 << 30)));
        // QEMU knows what these are, if they are anything.
        for size in ["1.5G", "1T", "64MiB", "M", "", "many", "99999999999999999G"] {
            assert_eq!(bytes(size), None, "{size}");
        }
    }

    #[test]
    fn an_image_needs_room_behind_the_place_where_it_is_loaded() {
        let image = 0xffff_ffff_8000_0000..0xffff_ffff_8005_8000;
        assert_eq!(least(Arch::X86_64, &image), MEBIBYTE + 0x5_8000);
        assert_eq!(least(Arch::Aarch64, &image), 3 * MEBIBYTE);
        assert_eq!(least(Arch::Armv7, &image), 0x5_8000);
    }
}
