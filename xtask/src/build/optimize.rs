//! Optimising the whole image once more, before it is linked.
//!
//! rustc's own link-time optimisation looks for arguments that nobody reads before it inlines, and
//! only once. So every panic goes on carrying the place in the source that it comes from, although
//! the report of an image that ships does not print it (`kernel/src/report.rs` says why). Looking
//! again when rustc is done takes them out, and then what is left can be made smaller still:
//! together a seventh of an image. It takes a second or two.
//!
//! For ARMv7 this is also where an image becomes Thumb code, which takes a quarter fewer bytes.
//! rustc could be told to compile so, but not the standard library, which has come compiled; and it
//! would warn, once for each crate, that the option may change. And here both ARM architectures lose
//! strict alignment, with which each field of a packet is loaded byte by byte: the targets have it
//! because they are for any processor in any state, but all Rust in an image runs with the MMU on,
//! in normal memory, and with SCTLR.A clear. An image for AArch64 is a tenth smaller for it, and a
//! request takes a sixth fewer instructions.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};
use object::{Architecture, Object, ObjectSymbol, SymbolKind};

use crate::paths::Toolchain;
use crate::tools;

/// The passes of LLVM that are run, in order: attributes from a list, if there is one, unread
/// arguments, then whatever served only them, then the usual ones for a whole program.
const PASSES: &str = "forceattrs,deadargelim,globaldce,lto<Os>";

/// The features of the processor that a function for ARMv7 is compiled with: those of the target
/// armv7a-none-eabi (`rustc --emit=llvm-ir` shows them) without strict alignment, Thumb code, and the
/// frame pointer in r11 as in ARM code, where backtraces and the assembly files look for it.
const THUMB: &str = "target-features=+soft-float,-neon,+thumb-mode,+aapcs-frame-chain";

/// The same for AArch64: those of the target aarch64-unknown-none-softfloat, without strict alignment.
const UNALIGNED: &str = "target-features=+v8a,-neon,-fp-armv8";

/// Compiles `bitcode`, the whole image as rustc has optimised it, to the object file `better`.
/// `object` is what rustc has compiled it to.
///
/// # Errors
/// If a file cannot be read or written, or LLVM's linker, which does this, cannot be found or
/// reports an error.
pub fn compile(bitcode: &Path, object: &Path, better: &Path) -> Result<()> {
    let bytes =
        std::fs::read(object).with_context(|| format!("cannot read {}", object.display()))?;
    let attributes = attributes(&object::File::parse(bytes.as_slice())?);
    let list = better.with_extension("csv");
    let mut command = Command::new(Toolchain::find()?.linker);
    command.args(["-flavor", "gnu", "--relocatable"]);
    command.arg(format!("--lto-newpm-passes={PASSES}"));
    if !attributes.is_empty() {
        std::fs::write(&list, attributes)
            .with_context(|| format!("cannot write {}", list.display()))?;
        command.arg("-mllvm").arg(format!("-forceattrs-csv-path={}", list.display()));
    }
    command.arg(bitcode).arg("-o").arg(better);
    let output = command
        .output()
        .map_err(|error| anyhow::Error::from(error).context(tools::cannot_start(&command)))?;
    if !output.status.success() {
        bail!(
            "the image could not be optimised:\n{}",
            String::from_utf8_lossy(&output.stderr).trim_end()
        );
    }
    Ok(())
}

/// The attributes that functions of an image get: a line for each, with the function's name and the
/// attribute. Assembly has functions too, which LLVM does not know and passes over.
fn attributes(object: &object::File<'_>) -> String {
    let features = match object.architecture() {
        Architecture::Arm => THUMB,
        Architecture::Aarch64 => UNALIGNED,
        _ => return String::new(),
    };
    object
        .symbols()
        .filter(|symbol| symbol.kind() == SymbolKind::Text && symbol.is_definition())
        .filter_map(|symbol| Some(format!("{},{features}\n", symbol.name().ok()?)))
        .collect()
}

#[cfg(test)]
mod tests {
    use object::write::{Object as NewObject, Symbol, SymbolSection};
    use object::{BinaryFormat, Endianness, SymbolFlags, SymbolScope};

    use super::*;

    fn object_with_function(architecture: Architecture) -> Vec<u8> {
        let mut object = NewObject::new(BinaryFormat::Elf, architecture, Endianness::Little);
        let section = object.section_id(object::write::StandardSection::Text);
        object.add_symbol(Symbol {
            name: b"main".to_vec(),
            value: 0,
            size: 4,
            kind: SymbolKind::Text,
            scope: SymbolScope::Linkage,
            weak: false,
            section: SymbolSection::Section(section),
            flags: SymbolFlags::None,
        });
        object.write().unwrap()
    }

    #[test]
    fn functions_get_the_features_of_their_architecture() {
        let of = |architecture| {
            let bytes = object_with_function(architecture);
            attributes(&object::File::parse(bytes.as_slice()).unwrap())
        };
        assert_eq!(of(Architecture::Arm), format!("main,{THUMB}\n"));
        assert_eq!(of(Architecture::Aarch64), format!("main,{UNALIGNED}\n"));
        assert_eq!(of(Architecture::X86_64), "");
    }
}
