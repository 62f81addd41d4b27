//! Putting the table of function names into an image.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use mayfly_symbols::{Function, SECTION, encode};
use object::write::Object as NewObject;
use object::{
    Architecture, BinaryFormat, Endianness, Object, ObjectSymbol, SectionKind, SymbolKind,
};

use super::elf;
use super::link::Linker;
use super::names;
use crate::arch::Arch;

/// Links an image with the table of its functions; gives the path of the ELF file, in `work`.
///
/// The first link, with an empty table, tells where the functions are. The table lies behind the
/// text, so the second link, with the full one, leaves them there.
pub fn link_with_table(linker: &Linker<'_>, work: &Path) -> Result<PathBuf> {
    let first = functions(&link_once(linker, work, &[], 0)?.1)?;
    let (path, file) = link_once(linker, work, &first.functions, first.text_length)?;
    let second = functions(&file)?;
    ensure!(
        first == second,
        "functions moved when their names were added; the linker script must place {SECTION} \
         behind .text"
    );
    Ok(path)
}

/// The functions of an image.
#[derive(PartialEq, Eq)]
struct Text {
    functions: Vec<Function>,
    text_length: u32,
}

/// Links once with a table of `functions`; gives the output and its content.
fn link_once(
    linker: &Linker<'_>,
    work: &Path,
    functions: &[Function],
    text_length: u32,
) -> Result<(PathBuf, Vec<u8>)> {
    let table = work.join("symbols.o");
    let output = work.join("image.elf");
    std::fs::write(&table, object_file(linker.arch, &encode(functions, text_length))?)
        .with_context(|| format!("cannot write {}", table.display()))?;
    linker.link(&table, &output)?;
    let bytes =
        std::fs::read(&output).with_context(|| format!("cannot read {}", output.display()))?;
    Ok((output, bytes))
}

/// Finds the functions in a linked image.
fn functions(bytes: &[u8]) -> Result<Text> {
    let file = object::File::parse(bytes)?;
    let start = elf::symbol(&file, "__text_start")?;
    let end = elf::symbol(&file, "__text_end")?;
    let mut functions: Vec<Function> = file
        .symbols()
        .filter(|symbol| is_function(symbol) && (start..end).contains(&symbol.address()))
        .filter_map(|symbol| {
            let start = u32::try_from(elf::code_address(&file, &symbol) - start).ok()?;
            Some(Function { start, name: names::short(symbol.name().ok()?) })
        })
        .collect();
    functions.sort();
    functions.dedup_by_key(|function| function.start);
    let text_length = u32::try_from(end.saturating_sub(start)).context("4 GiB of text")?;
    Ok(Text { functions, text_length })
}

/// Whether a symbol is the name of a function, or a label of an assembly file that serves as one.
fn is_function(symbol: &object::Symbol<'_, '_>) -> bool {
    let name = symbol.name().unwrap_or_default();
    let code = match symbol.kind() {
        SymbolKind::Text => true,
        // Assembly often leaves out the type.
        SymbolKind::Label | SymbolKind::Unknown => symbol.is_global(),
        _ => false,
    };
    // Mapping symbols ($a, $x, $d), and the linker script's own.
    code && !name.is_empty()
        && !name.starts_with('$')
        && !name.starts_with(".L")
        && !matches!(name, "__text_start" | "__text_end" | "__image_start")
}

/// An object file with `table` in the section that linker scripts expect it in.
fn object_file(arch: Arch, table: &[u8]) -> Result<Vec<u8>> {
    let machine = match arch {
        Arch::X86_64 => Architecture::X86_64,
        Arch::Aarch64 => Architecture::Aarch64,
        Arch::Armv7 => Architecture::Arm,
    };
    let mut object = NewObject::new(BinaryFormat::Elf, machine, Endianness::Little);
    let section = object.add_section(Vec::new(), SECTION.into(), SectionKind::ReadOnlyData);
    object.append_section_data(section, table, 4);
    Ok(object.write()?)
}

#[cfg(test)]
mod tests {
    use object::ObjectSection;

    use super::*;

    #[test]
    fn the_object_file_holds_the_table() {
        for arch in Arch::ALL {
            let table = encode(&[Function { start: 0, name: "main".into() }], 4);
            let bytes = object_file(arch, &table).unwrap();
            let file = object::File::parse(bytes.as_slice()).unwrap();
            let section = file.section_by_name(SECTION).unwrap();
            assert_eq!(section.data().unwrap(), table);
        }
    }
}
