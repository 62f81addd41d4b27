//! The least memory that xl can start an image with.

use anyhow::{Context, Result};

use crate::arch::Arch;
use crate::build::{Image, elf};

const MEBIBYTE: u64 = 1 << 20;

/// Sizes of an image, in bytes.
#[derive(Clone, Copy, Debug)]
struct Sizes {
    /// What is loaded of the file.
    file: u64,
    /// From its start to the end of what it uses at once.
    memory: u64,
}

/// The least `memory` that xl can start an image with, in MiB. To run well, an app needs some more,
/// but that is for the app to say.
///
/// # Errors
/// If the image cannot be read.
pub fn least(image: &Image) -> Result<u64> {
    let file = std::fs::read(&image.elf)
        .with_context(|| format!("cannot read {}", image.elf.display()))?;
    let file = object::File::parse(file.as_slice())?;
    let start = elf::symbol(&file, "__image_start")?;
    let from_start = |symbol| -> Result<u64> {
        elf::symbol(&file, symbol)?.checked_sub(start).context("the image ends before it starts")
    };
    let sizes = Sizes { file: from_start("__file_end")?, memory: from_start("__image_end")? };
    Ok(least_for(image.arch, sizes))
}

/// As libxenguest lays out the memory of a guest.
fn least_for(arch: Arch, sizes: Sizes) -> u64 {
    match arch {
        // The image is at 1 MiB; start_info and what it points to come behind it, a page or two.
        // The same again is for page tables.
        Arch::X86_64 => {
            const BEHIND: u64 = 16 << 10;
            (MEBIBYTE + sizes.memory + BEHIND).div_ceil(MEBIBYTE)
        }
        // The offset is in the header (Linux, Documentation/arch/arm64/booting.rst).
        Arch::Aarch64 => least_on_arm(0x8_0000, sizes),
        // Where a zImage is that does not say where it wants to be.
        Arch::Armv7 => least_on_arm(0x8000, sizes),
    }
}

/// The device tree, a page, is at the end of memory, and has to be behind the file, whose end is
/// rounded up to 2 MiB for that (found by trying: with a MiB less, xl ends with `segment boundary too
/// low`). It may not lie in the part of the image that is not in the file, either.
fn least_on_arm(offset: u64, sizes: Sizes) -> u64 {
    const PAGE: u64 = 4096;
    let file = (offset + sizes.file).next_multiple_of(2 * MEBIBYTE);
    let end = file.max(offset + sizes.memory);
    // More than this, not as much.
    (end + PAGE) / MEBIBYTE + 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_least_memory_is_what_was_found_by_trying() {
        let small = Sizes { file: 107_928, memory: 0x4_1000 };
        assert_eq!(least_for(Arch::X86_64, small), 2);
        assert_eq!(least_for(Arch::Aarch64, small), 3);
        assert_eq!(least_for(Arch::Armv7, small), 3);
        let large = Sizes { file: 2_200_000, memory: 2_300_000 };
        assert_eq!(least_for(Arch::X86_64, large), 4);
        assert_eq!(least_for(Arch::Aarch64, large), 5);
        assert_eq!(least_for(Arch::Armv7, large), 5);
    }

    #[test]
    fn what_is_zero_at_first_has_its_place_too() {
        let sizes = Sizes { file: 1 << 20, memory: 5 << 20 };
        assert_eq!(least_for(Arch::X86_64, sizes), 7);
        assert_eq!(least_for(Arch::Armv7, sizes), 6);
    }
}
