//! `size`: what of an image is loaded, and where it comes from.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use clap::Args;
use object::elf::PT_LOAD;
use object::{Object, ObjectSection, ObjectSymbol, SectionKind};
use serde_json::{Value, json};

use crate::app::App;
use crate::arch::{Arch, ArchChoice};
use crate::build::{self, How, Image, elf};

/// The apps that are measured when none is named.
const APPS: [&str; 2] = ["hello", "http"];

/// Prints how large an image is, by section, and by crate or module of the kernel.
#[derive(Args)]
#[command(after_help = "Examples:
  cargo xtask size                        the examples with a budget, for every architecture
  cargo xtask size http --arch aarch64
  cargo xtask size http --json

Sizes are of release builds. Loaded are the bytes of code, constants and variables that a loader
puts into memory, without what fills the last page of each; memory adds what the image needs besides
them: variables that start as zero, stacks and page tables.")]
pub struct Options {
    /// An example, or a directory with an app crate; hello and http if left out.
    app: Option<String>,
    /// The binary, if the app crate has several.
    #[arg(long, value_name = "NAME")]
    bin: Option<String>,
    /// Architectures to build for.
    #[arg(long, value_enum, default_value = "all")]
    arch: ArchChoice,
    /// Prints JSON: a list with an object for each image.
    #[arg(long)]
    json: bool,
}

/// Sizes of an image, in bytes.
struct Sizes {
    app: String,
    arch: Arch,
    loaded: u64,
    memory: u64,
    sections: Vec<(String, u64)>,
    crates: Vec<(String, u64)>,
}

impl Options {
    /// Builds, measures and prints.
    pub fn execute(&self) -> Result<u8> {
        let how = How { release: true, ..How::default() };
        let names = match &self.app {
            Some(app) => vec![app.as_str()],
            None => APPS.to_vec(),
        };
        let mut all = Vec::new();
        for name in names {
            let app = App::find(name, self.bin.as_deref())?;
            for &arch in self.arch.list() {
                all.push(measure(&app, &build::build(&app, arch, &how)?)?);
            }
        }
        if self.json {
            println!("{}", Value::from(all.iter().map(to_json).collect::<Vec<_>>()));
        } else {
            print_table(&all);
            if self.app.is_some() {
                all.iter().for_each(print_details);
            }
        }
        Ok(0)
    }
}

/// Measures an image.
fn measure(app: &App, image: &Image) -> Result<Sizes> {
    let bytes = std::fs::read(&image.elf)
        .with_context(|| format!("cannot read {}", image.elf.display()))?;
    let file = object::File::parse(bytes.as_slice())?;
    let mut loads = elf::segments(&bytes)?;
    loads.retain(|segment| segment.kind == PT_LOAD.0);
    let start = elf::symbol(&file, "__image_start")?;
    let end = elf::symbol(&file, "__image_end")?;
    let sections = file
        .sections()
        .filter(|section| section.address() >= start && section.address() < end)
        .filter(|section| section.size() > 0)
        .filter_map(|section| {
            let in_file = section.file_range().map_or(0, |(_, size)| size);
            let zero = section.kind() == SectionKind::UninitializedData || in_file == 0;
            let name = section.name().ok()?;
            let name = if zero { format!("{name} (not loaded)") } else { name.to_owned() };
            Some((name, section.size()))
        })
        .collect();
    Ok(Sizes {
        app: app.binary.clone(),
        arch: image.arch,
        loaded: loads.iter().map(|segment| segment.file_size).sum(),
        memory: end.saturating_sub(start),
        sections,
        crates: by_crate(&file),
    })
}

/// Bytes of functions and named constants by the crate that they are from, and by the module in the
/// kernel, the largest first.
fn by_crate(file: &object::File<'_>) -> Vec<(String, u64)> {
    let mut crates: BTreeMap<String, u64> = BTreeMap::new();
    let mut counted = std::collections::BTreeSet::new();
    for symbol in file.symbols() {
        let loaded = symbol
            .section_index()
            .and_then(|index| file.section_by_index(index).ok())
            .is_some_and(|section| section.kind() != SectionKind::UninitializedData);
        // Functions that turned out the same share their bytes.
        if loaded && symbol.size() > 0 && counted.insert(symbol.address()) {
            let name = symbol.name().unwrap_or_default();
            *crates.entry(crate_of(name)).or_default() += symbol.size();
        }
    }
    let mut crates: Vec<_> = crates.into_iter().collect();
    crates.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    crates
}

/// The crate that a linker symbol belongs to, that of the first path in its name; of the kernel, by
/// far the largest, the module too.
fn crate_of(symbol: &str) -> String {
    let name = format!("{:#}", rustc_demangle::demangle(symbol));
    let mut parts: Vec<&str> = name.split("::").collect();
    // What stands behind the last `::` starts no path.
    parts.pop();
    // In `<usize as core::fmt::Display>::fmt` that is the trait's; `<<T as A>::B as …>` has none
    // before its first `::`.
    let last_word = |part: &'_ &str| {
        let start = part.rfind(|c: char| !c.is_alphanumeric() && c != '_');
        part.split_at(start.map_or(0, |start| start + 1)).1.to_owned()
    };
    let mut words = parts.iter().map(last_word).skip_while(String::is_empty);
    let Some(found) = words.next() else { return "(assembly and C names)".into() };
    let is_module = |word: &String| word.starts_with(|c: char| c.is_ascii_lowercase());
    match words.next().filter(is_module) {
        Some(module) if found == "mayfly" => format!("{found}::{module}"),
        _ => found,
    }
}

fn print_table(all: &[Sizes]) {
    println!("{:<12} {:<8} {:>10} {:>10}", "app", "arch", "loaded", "memory");
    for Sizes { app, arch, loaded, memory, .. } in all {
        println!("{app:<12} {arch:<8} {loaded:>10} {memory:>10}");
    }
}

fn print_details(sizes: &Sizes) {
    for (title, parts) in [("section", &sizes.sections), ("crate", &sizes.crates)] {
        println!("\n{} {}, by {title}:", sizes.app, sizes.arch);
        for (name, size) in parts {
            println!("{size:>10}  {name}");
        }
    }
}

fn to_json(sizes: &Sizes) -> Value {
    let map = |parts: &[(String, u64)]| -> Value {
        parts.iter().map(|(name, size)| (name.clone(), json!(size))).collect()
    };
    json!({
        "app": sizes.app,
        "arch": sizes.arch.name(),
        "loaded": sizes.loaded,
        "memory": sizes.memory,
        "sections": map(&sizes.sections),
        "crates": map(&sizes.crates),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn symbols_belong_to_the_crate_that_their_path_starts_with() {
        assert_eq!(crate_of("_ZN6mayfly4boot5start17h0123456789abcdefE"), "mayfly::boot");
        assert_eq!(crate_of("_ZN6mayfly5start17h0123456789abcdefE"), "mayfly");
        let implementation = "_ZN58_$LT$smoltcp..wire..Packet$u20$as$u20$core..fmt..Debug$GT$3fmt17h0123456789abcdefE";
        assert_eq!(crate_of(implementation), "smoltcp");
        let of_a_primitive =
            "_ZN44_$LT$usize$u20$as$u20$core..fmt..Display$GT$3fmt17h0123456789abcdefE";
        assert_eq!(crate_of(of_a_primitive), "core");
        assert_eq!(crate_of("memcpy"), "(assembly and C names)");
    }
}
