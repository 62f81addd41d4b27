//! The shared libraries that programs need.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use object::read::elf::FileHeader;
use object::{Endianness, elf};

/// Where Debian has libraries.
const DIRECTORIES: [&str; 2] = ["lib", "usr/lib"];

/// What is loaded by name while a program runs: pthread_cancel(3) opens this one.
const OPENED_LATER: [&str; 1] = ["libgcc_s.so.1"];

/// The libraries that `programs` need, and those that these need, by name, with the files of `tree`
/// that they are.
///
/// # Errors
/// If a file cannot be read, or a library is not there.
pub fn needed(
    tree: &Path,
    triplet: &str,
    programs: &[PathBuf],
) -> Result<BTreeMap<String, PathBuf>> {
    let mut found = BTreeMap::new();
    let mut open: BTreeSet<String> = OPENED_LATER.map(str::to_owned).into();
    for program in programs {
        open.extend(needed_by(program)?);
    }
    while let Some(name) = open.pop_first() {
        if found.contains_key(&name) {
            continue;
        }
        let file = DIRECTORIES
            .iter()
            .flat_map(|directory| [tree.join(directory).join(triplet), tree.join(directory)])
            .map(|directory| directory.join(&name))
            .find(|file| file.exists())
            .with_context(|| format!("no package of the lab has {name}"))?;
        open.extend(needed_by(&file)?);
        found.insert(name, file);
    }
    Ok(found)
}

/// The names in the dynamic section of a file, if it has one.
fn needed_by(file: &Path) -> Result<Vec<String>> {
    let bytes = fs::read(file).with_context(|| format!("cannot read {}", file.display()))?;
    let names = match object::FileKind::parse(bytes.as_slice()) {
        Ok(object::FileKind::Elf32) => names::<elf::FileHeader32<Endianness>>(&bytes),
        _ => names::<elf::FileHeader64<Endianness>>(&bytes),
    };
    names.with_context(|| format!("{} is not what it seems", file.display()))
}

fn names<E: FileHeader<Endian = Endianness>>(bytes: &[u8]) -> object::Result<Vec<String>> {
    let header = E::parse(bytes)?;
    let endian = header.endian()?;
    let table = header.sections(endian, bytes)?.dynamic_table(endian, bytes)?;
    let needed = table.iter().filter(|entry| entry.tag == elf::DT_NEEDED);
    needed.map(|entry| Ok(String::from_utf8_lossy(table.string(entry)?).into_owned())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_program_needs_the_c_library() {
        let own = fs::read("/proc/self/exe").unwrap();
        let names = names::<elf::FileHeader64<Endianness>>;
        assert!(names(&own).unwrap().iter().any(|name| name.starts_with("libc.so")));
        assert!(names(b"no ELF").is_err());
    }
}
