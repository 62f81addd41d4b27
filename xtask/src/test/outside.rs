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

/// A process that another one has started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Process {
    id: u32,
    /// What it runs; Linux keeps the first 15 bytes of the name.
    pub name: String,
    parent: u32,
    /// When it was started, in ticks since the boot: numbers of processes are given again.
    started: u64,
}

/// The processes that process `parent` has started and that run.
pub fn started_by(parent: u32) -> Vec<Process> {
    let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let ids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    ids.filter_map(process).filter(|process| process.parent == parent).collect()
}

impl Process {
    /// Whether it still runs.
    pub fn runs(&self) -> bool {
        process(self.id).is_some_and(|now| now.started == self.started)
    }
}

/// The process with this number, unless it has ended.
fn process(id: u32) -> Option<Process> {
    parse_process(&std::fs::read_to_string(format!("/proc/{id}/stat")).ok()?)
}

/// Reads `stat` of a process (proc(5)). `None` of one that has ended and that nobody has waited for.
fn parse_process(stat: &str) -> Option<Process> {
    // The name may have anything in it, also parentheses.
    let (start, rest) = stat.rsplit_once(") ")?;
    let (id, name) = start.split_once(" (")?;
    let fields: Vec<&str> = rest.split_whitespace().collect();
    // The first of them is the third of the line, the state.
    let number = |field: usize| fields.get(field - 3)?.parse::<u64>().ok();
    let process = Process {
        id: id.parse().ok()?,
        name: name.to_owned(),
        parent: number(4)?.try_into().ok()?,
        started: number(22)?,
    };
    (*fields.first()? != "Z").then_some(process)
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
    fn processes_are_known_by_who_started_them() {
        let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        let is_it = |process: &Process| process.id == child.id();
        let found = started_by(std::process::id()).into_iter().find(is_it).unwrap();
        assert!(found.runs());
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(!found.runs());
    }

    #[test]
    fn what_has_ended_is_no_process() {
        let stat = |state| format!("7 (a) b) {state} 3 7 7 0 -1 4 0 0 0 0 0 0 0 0 20 0 1 0 99 0\n");
        let process = parse_process(&stat("S")).unwrap();
        assert_eq!((process.id, process.name.as_str()), (7, "a) b"));
        assert_eq!((process.parent, process.started), (3, 99));
        assert_eq!(parse_process(&stat("Z")), None);
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
