//! A guest as its host sees it, from `/proc`.

use std::time::Duration;

/// What threads have had of the processors, all together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Processors {
    /// How long they have run.
    pub used: Duration,
    /// How long they were ready to run and had to wait: on a host with too much to do, that is why
    /// a guest is late.
    pub waited: Duration,
}

/// What the threads of process `process` have had of the processors.
pub fn processors(process: u32) -> Option<Processors> {
    threads(process)?.reduce(|one, other| Processors {
        used: one.used + other.used,
        waited: one.waited + other.waited,
    })
}

/// What the thread of process `process` that has run most has had of the processors: of a QEMU with
/// one processor, the thread that is this processor.
pub fn busiest_thread(process: u32) -> Option<Processors> {
    threads(process)?.max_by_key(|times| times.used)
}

fn threads(process: u32) -> Option<impl Iterator<Item = Processors>> {
    let threads = std::fs::read_dir(format!("/proc/{process}/task")).ok()?;
    // A thread may end meanwhile.
    Some(threads.filter_map(|thread| {
        parse(&std::fs::read_to_string(thread.ok()?.path().join("schedstat")).ok()?)
    }))
}

/// Reads `schedstat`, whose first two numbers are nanoseconds of running and of waiting.
fn parse(times: &str) -> Option<Processors> {
    let mut times = times.split_whitespace().map(|number| number.parse().map(Duration::from_nanos));
    Some(Processors { used: times.next()?.ok()?, waited: times.next()?.ok()? })
}

/// KiB of its memory that a guest has ever touched: of the `size` that QEMU in process `process` was
/// told. QEMU has a mapping of that size, and the kernel gives it a page when the guest first
/// touches it. So this never becomes less, but a guest that loses memory uses more and more.
pub fn memory_used(process: u32, size: &str) -> Option<u64> {
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
    fn running_comes_before_waiting() {
        let times = parse("100 2000 3\n").unwrap();
        assert_eq!((times.used.as_nanos(), times.waited.as_nanos()), (100, 2000));
        assert_eq!(parse("100"), None);
    }

    #[test]
    fn this_process_has_run() {
        assert!(processors(std::process::id()).unwrap().used > Duration::ZERO);
        assert_eq!(processors(0), None);
    }

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
