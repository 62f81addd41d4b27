//! The steps of the boot, found in the image: where the kernel says `chart::mark("…")`.
//!
//! The marks cost the guest nothing here. The debug information tells which instructions come from
//! those lines of the source, and the counter notes when the first of them is executed.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::counter::MARKS;
use crate::build::Image;
use crate::build::elf;
use crate::paths;
use crate::symbolize::{DebugInfo, Place};

/// Where marks are to be found, in this checkout.
const SOURCES: [&str; 3] = ["kernel/src", "drivers", "arch/src"];

/// How the source marks a step.
const CALL: &str = "chart::mark(\"";

/// What runs the network. An app that uses none has nothing of it in its image.
const NETWORK: &str = "kernel/src/net/runner.rs";

/// Functions that are steps by themselves, by the ends of their names and of the files that they are
/// in, with what it means that they are reached.
const FUNCTIONS: [(&str, &str, &str); 6] = [
    ("boot::start", "arch/src/x86_64/boot.rs", MMU),
    ("boot::enter", "arch/src/aarch64/boot.rs", MMU),
    ("boot::enter", "arch/src/armv7/boot.rs", MMU),
    ("__mayfly_main", "", MAIN),
    ("process_icmpv4", "/iface/interface/ipv4.rs", PING),
    ("poll_write", "kernel/src/net/tcp/stream.rs", "first byte of an answer"),
];

/// The step that a ping has come.
pub const PING: &str = "first ping received";

/// The step that the boot assembly is: at its end, the MMU is on.
const MMU: &str = "MMU";

/// The step at whose end the app takes over.
const MAIN: &str = "start of the app's main";

/// The steps of an image.
pub struct Steps {
    /// What is over when a mark is reached, by its number.
    pub names: Vec<String>,
    /// The instructions that belong to each mark.
    pub places: Vec<(usize, u64)>,
    /// Whether the image has a network stack, which can answer a ping.
    pub network: bool,
}

impl Steps {
    /// The number of the mark that the app's `main` is.
    pub fn main(&self) -> Option<usize> {
        self.names.iter().position(|name| name == MAIN)
    }
}

/// Finds the steps in an image. The first one is its entry point.
pub fn find(image: &Image) -> Result<Steps> {
    let debug_info = DebugInfo::load(&image.elf)?;
    let mut names = vec!["firmware".to_owned()];
    let mut places = vec![(0, entry(image)?)];
    let mut by_line: HashMap<(String, u32), usize> = HashMap::new();
    names.extend(FUNCTIONS.map(|(.., name)| name.to_owned()));
    let by_function = |place: &Place| {
        let is_it = |(function, file, _): &(&str, &str, &str)| {
            place.function.ends_with(function) && place.file.ends_with(file)
        };
        FUNCTIONS.iter().position(is_it).map(|at| at + 1)
    };
    for call in calls()? {
        if names.len() < MARKS {
            by_line.insert((call.file, call.line), names.len());
            names.push(call.name);
        }
    }
    let mut network = false;
    for address in debug_info.instructions() {
        for place in debug_info.places(address) {
            network |= place.file == NETWORK;
            let line = by_line.get(&(place.file.clone(), place.line));
            let mark = line.copied().or_else(|| by_function(&place));
            places.extend(mark.map(|mark| (mark, address)));
        }
    }
    Ok(Steps { names, places, network })
}

/// The address of an image's first instruction, where the loader puts it: a flat image is entered
/// at its start, and QEMU puts that at a place of its own, so there it is not known.
fn entry(image: &Image) -> Result<u64> {
    let bytes = std::fs::read(&image.elf)
        .with_context(|| format!("cannot read {}", image.elf.display()))?;
    elf::entry(&bytes)
}

/// A line of the source that marks a step.
#[derive(Debug, PartialEq, Eq)]
struct Call {
    file: String,
    line: u32,
    name: String,
}

/// All marks in the source.
fn calls() -> Result<Vec<Call>> {
    let mut calls = Vec::new();
    for directory in SOURCES {
        for file in rust_files(&paths::repository().join(directory)) {
            let text = std::fs::read_to_string(&file)
                .with_context(|| format!("cannot read {}", file.display()))?;
            let name = file.strip_prefix(paths::repository())?.to_string_lossy().into_owned();
            calls.extend(calls_in(&name, &text));
        }
    }
    Ok(calls)
}

fn calls_in(file: &str, text: &str) -> Vec<Call> {
    let numbered = (1..).zip(text.lines()).filter(|(_, line)| !line.trim().starts_with("//"));
    numbered
        .filter_map(|(line, content)| {
            let (name, _) = content.split_once(CALL)?.1.split_once('"')?;
            Some(Call { file: file.to_owned(), line, name: name.to_owned() })
        })
        .collect()
}

/// The Rust files below a directory.
fn rust_files(directory: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(directory).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            files.extend(rust_files(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    files.sort();
    files
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_are_found_in_the_source() {
        let text = "fn f() {\n    chart::mark(\"devices\");\n    // chart::mark(\"not\");\n}\n";
        let call = Call { file: "boot.rs".into(), line: 2, name: "devices".into() };
        assert_eq!(calls_in("boot.rs", text), [call]);
    }
}
