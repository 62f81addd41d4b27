//! How much of its memory a guest has used, seen from outside.
//!
//! QEMU has a mapping of the size of the guest's memory, and the kernel gives it a page when the
//! guest first touches it. So this never becomes less, but a guest that loses memory uses more and
//! more.

/// KiB of its memory that a guest has ever touched: `size`, as QEMU is told, in process `process`.
pub fn used(process: u32, size: &str) -> Option<u64> {
    let mappings = std::fs::read_to_string(format!("/proc/{process}/smaps")).ok()?;
    resident(&mappings, kibibytes(size)?)
}

/// Most of the mappings of so many KiB that is resident: QEMU may have others of that size, which
/// are only reserved.
fn resident(mappings: &str, size: u64) -> Option<u64> {
    let value =
        |line: &str, name| line.strip_prefix(name)?.trim().strip_suffix(" kB")?.parse::<u64>().ok();
    let mut fits = false;
    let mut most = None;
    for line in mappings.lines() {
        if let Some(found) = value(line, "Size:") {
            fits = found == size;
        } else if let Some(found) = value(line, "Rss:").filter(|_| fits) {
            most = most.max(Some(found));
        }
    }
    most
}

/// A size with a suffix: 4M, 1G.
fn kibibytes(size: &str) -> Option<u64> {
    let (number, shift) = match size.strip_suffix(['G', 'g']) {
        Some(number) => (number, 20),
        None => (size.strip_suffix(['M', 'm']).unwrap_or(size), 10),
    };
    Some(number.parse::<u64>().ok()? << shift)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_resident_part_of_the_guest_is_found() {
        let mappings = "7efd4ba00000-7efd4fa00000 rw-p 00000000 00:00 0\n\
                        Size:              65536 kB\nKernelPageSize: 4 kB\nRss: 16 kB\n\
                        7efd4fc00000-7efd53c00000 rw-p 00000000 00:00 0\n\
                        Size:              65536 kB\nRss:  2048 kB\nPss: 9 kB\n\
                        Size:              100 kB\nRss:  4096 kB\n";
        assert_eq!(resident(mappings, kibibytes("64M").unwrap()), Some(2048));
        assert_eq!(resident(mappings, 7), None);
        assert_eq!((kibibytes("1G"), kibibytes("x")), (Some(1 << 20), None));
    }
}
