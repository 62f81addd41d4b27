//! The debug information of an image: what is at an address.

use std::fmt;
use std::ops::Range;
use std::path::Path;

use addr2line::gimli::{Dwarf, EndianSlice, LittleEndian};
use anyhow::{Context, Result};
use object::{Object, ObjectSection, ObjectSymbol};

use crate::build::{elf, names};

type Reader = EndianSlice<'static, LittleEndian>;

/// Debug information of an image.
pub struct DebugInfo {
    lines: addr2line::Context<Reader>,
    functions: Vec<(u64, String)>,
    /// The addresses of its code.
    pub text: Range<u64>,
}

/// A place in the source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The function, as far as it is known.
    pub function: String,
    /// Source file, relative to the checkout where it belongs to it.
    pub file: String,
    /// Line number, or 0.
    pub line: u32,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{} in {}", self.file, self.line, self.function)
    }
}

impl DebugInfo {
    /// Reads the debug information in an ELF file.
    ///
    /// # Errors
    /// If the file cannot be read or is no image of ours.
    pub fn load(path: &Path) -> Result<Self> {
        let bytes = std::fs::read(path).with_context(|| {
            format!(
                "cannot read {}; it is made beside the image by `cargo xtask build`",
                path.display()
            )
        })?;
        // Lives until the process ends: a process looks at few images, and each only once.
        let bytes: &'static [u8] = bytes.leak();
        let file = object::File::parse(bytes)
            .with_context(|| format!("{} is no ELF file", path.display()))?;
        let section = |id: addr2line::gimli::SectionId| -> Result<Reader> {
            let data = file.section_by_name(id.name()).and_then(|section| section.data().ok());
            Ok(EndianSlice::new(data.unwrap_or_default(), LittleEndian))
        };
        let lines = addr2line::Context::from_dwarf(Dwarf::load(section)?)
            .with_context(|| format!("the debug information in {}", path.display()))?;
        let text = elf::symbol(&file, "__text_start")?..elf::symbol(&file, "__text_end")?;
        let mut functions: Vec<(u64, String)> = file
            .symbols()
            .filter(|symbol| symbol.is_definition() && text.contains(&symbol.address()))
            .filter_map(|symbol| {
                Some((elf::code_address(&file, &symbol), symbol.name().ok()?.to_owned()))
            })
            .collect();
        functions.sort();
        Ok(Self { lines, functions, text })
    }

    /// The places that the instruction at `address` comes from: the innermost inlined function
    /// first, the function that it was inlined into last.
    pub fn places(&self, address: u64) -> Vec<Place> {
        let mut places = Vec::new();
        if let Ok(mut frames) = self.lines.find_frames(address).skip_all_loads() {
            while let Ok(Some(frame)) = frames.next() {
                let Some(location) = frame.location else { continue };
                let name = frame.function.as_ref().and_then(|name| name.raw_name().ok());
                places.push(Place {
                    function: name.map_or_else(|| "?".into(), |name| names::readable(&name)),
                    file: short_path(location.file.unwrap_or("?")).to_owned(),
                    line: location.line.unwrap_or(0),
                });
            }
        }
        // Of the function that the others were inlined into, the symbol has the full path.
        if let Some(outermost) = places.last_mut() {
            outermost.function = self.function_at(address);
        }
        places
    }

    /// The addresses at which an instruction of another line of the source starts.
    pub fn instructions(&self) -> Vec<u64> {
        let rows = self.lines.find_location_range(self.text.start, self.text.end);
        rows.map(|rows| rows.map(|(address, ..)| address).collect()).unwrap_or_default()
    }

    /// The function that `address` lies in, from the symbol table.
    fn function_at(&self, address: u64) -> String {
        let next = self.functions.partition_point(|(start, _)| *start <= address);
        let found = next.checked_sub(1).and_then(|index| self.functions.get(index));
        found.map_or_else(|| "?".into(), |(_, name)| names::readable(name))
    }
}

/// The part of a path that says something: without the prefixes that stand for this checkout, the
/// app's workspace, the standard library and cargo's registry.
fn short_path(path: &str) -> &str {
    for prefix in ["/mayfly/", "/app/"] {
        if let Some(rest) = path.strip_prefix(prefix) {
            return rest;
        }
    }
    let after = |marker: &str, parts: usize| {
        let rest = path.strip_prefix(marker)?;
        rest.splitn(parts, '/').last()
    };
    after("/rustc/", 2).or_else(|| after("/cargo/registry/src/", 2)).unwrap_or(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_shown_without_what_stands_before_them_everywhere() {
        for (path, short) in [
            ("/mayfly/kernel/src/boot.rs", "kernel/src/boot.rs"),
            ("/app/src/main.rs", "src/main.rs"),
            ("/rustc/59807/library/core/src/fmt/mod.rs", "library/core/src/fmt/mod.rs"),
            ("/cargo/registry/src/index-1/smoltcp-0.14.0/src/lib.rs", "smoltcp-0.14.0/src/lib.rs"),
            ("/elsewhere/x.rs", "/elsewhere/x.rs"),
        ] {
            assert_eq!(short_path(path), short);
        }
    }
}
