//! Images whose loader has left a device tree or a start_info that is damaged: they say so, and end,
//! and do not fault.

use std::time::Duration;

use anyhow::{Context, Result, ensure};

use super::case::{Case, Failure};
use super::guest::TestGuest;
use super::guests;
use super::loader::{self, RAM, RAM_END};
use super::stub::{self, Stub};
use super::variant;
use crate::arch::Arch;
use crate::build::{self, How, Image};
use crate::run::{Hardware, Network};
use crate::temporary::TemporaryDirectory;

/// The test guest, which must not get to run.
const GUEST: &str = "damaged";
const PATIENCE: Duration = Duration::from_secs(60);

/// What is written to a field.
struct Damage {
    name: &'static str,
    /// Where the field is.
    offset: u64,
    value: u32,
    /// What the image says about that.
    complaint: &'static str,
}

const fn damage(name: &'static str, offset: u64, value: u32, complaint: &'static str) -> Damage {
    Damage { name, offset, value, complaint }
}

/// Fields of a device tree's header (the Devicetree Specification, section 5.2).
const IN_TREE: [Damage; 7] = [
    damage("magic", 0, 0, "no device tree where the loader's register points"),
    damage("huge", 4, u32::MAX, "total size is not between"),
    damage("empty", 4, 0, "total size is not between"),
    damage("structure-elsewhere", 8, 0x7fff_ff00, "its header contradicts itself"),
    damage("strings-elsewhere", 12, 0x7fff_ff00, "its header contradicts itself"),
    damage("reserved-elsewhere", 16, 0x7fff_ff00, "its header contradicts itself"),
    damage("future-version", 24, u32::MAX, "format is not version 17"),
];

/// The reserved memory's list, and how long an entry is.
const RESERVED: u64 = 16;

/// The same of `struct hvm_start_info` (xen/include/public/arch-x86/hvm/start_info.h).
const IN_START_INFO: [Damage; 5] = [
    damage("version", 4, 0, "start_info is of version 0"),
    damage("memory-map-elsewhere", 44, 0xffff, "the memory map lies where no memory can be"),
    damage("memory-map-huge", 48, u32::MAX, "the memory map has 4294967295 entries"),
    damage("memory-map-empty", 48, 0, "the memory map has no usable RAM"),
    damage("command-line-elsewhere", 28, 0xffff, "the command line lies where no memory can be"),
];

/// What the boot assembly says that finds no start_info. It has no command line then, and so does not
/// know how to end: it halts.
const NO_START_INFO: &str = "the loader passed no PVH start_info";

/// The tests of an architecture.
///
/// # Errors
/// If the test guests cannot be found.
pub fn cases(arch: Arch, how: &How) -> Result<Vec<Case>> {
    let image = build::image_of(&guests::package()?.app, arch, how, GUEST);
    let machine = variant::of(arch).first().context("no machine")?.hardware();
    let fields: &[_] = if arch == Arch::X86_64 { &IN_START_INFO } else { &IN_TREE };
    let mut cases = Vec::new();
    for &Damage { name, offset, value, complaint } in fields {
        let (image, machine) = (image.clone(), machine.clone());
        cases.push(Case::new(case_name(arch, name), move || {
            run(&image, &machine, complaint, &mut |stub, start| match image.arch {
                Arch::X86_64 => stub.write(start + offset, &value.to_le_bytes()),
                _ => stub.write(start + offset, &value.to_be_bytes()),
            })
        }));
    }
    if arch == Arch::X86_64 {
        cases.push(Case::new(case_name(arch, "magic"), move || {
            run(&image, &machine, NO_START_INFO, &mut |stub, start| stub.write(start, &[0; 4]))
        }));
        return Ok(cases);
    }
    // At 0 there is flash memory; behind the RAM, nothing answers.
    let unanswered = "the device tree does not describe this machine";
    for (name, place, complaint) in
        [("tree-elsewhere", 0, IN_TREE[0].complaint), ("tree-nowhere", RAM_END, unanswered)]
    {
        let (image, machine) = (image.clone(), machine.clone());
        cases.push(Case::new(case_name(arch, name), move || {
            run(&image, &machine, complaint, &mut |stub, _| {
                let pointer = loader::loaded(stub, image.arch)?.pointer;
                stub.write(pointer, &(place as u32).to_le_bytes())
            })
        }));
    }
    cases.push(Case::new(case_name(arch, "all-reserved"), move || {
        run(&image, &machine, "no memory is left", &mut reserve_all)
    }));
    Ok(cases)
}

fn case_name(arch: Arch, damage: &str) -> String {
    format!("guests/{GUEST}/{arch}/{damage}")
}

/// Reserves all memory: the list had no entry, and has one now, and an end behind it.
fn reserve_all(stub: &mut Stub, tree: u64) -> Result<()> {
    let list = tree + u64::from(u32::from_be_bytes(stub.word(tree + RESERVED)?));
    stub.write(list, &RAM.to_be_bytes())?;
    stub.write(list + 8, &(RAM_END - RAM).to_be_bytes())
}

/// Boots with what `damage` makes of the tree or the start_info at an address.
fn run(
    image: &Image,
    machine: &Hardware,
    complaint: &str,
    damage: &mut dyn FnMut(&mut Stub, u64) -> Result<()>,
) -> Result<(), Failure> {
    let place = TemporaryDirectory::new()?;
    let socket = place.path().join("stub");
    let hardware = Hardware { memory: loader::memory(), ..machine.clone() };
    let extra = stub::arguments(&socket);
    let mut guest = TestGuest::start_with(image, hardware, Network::None, &[], extra)?;
    let judged = (|| {
        let mut stub = Stub::connect(&socket)?;
        let start = match image.arch {
            Arch::X86_64 => loader::start_info(&mut stub, image)?,
            _ => loader::loaded(&mut stub, image.arch)?.tree,
        };
        damage(&mut stub, start)?;
        stub.go_on()?;
        if complaint == NO_START_INFO {
            guest.until("complaint", PATIENCE, |text| text.contains(complaint).then_some(()))?;
        } else {
            guest.wait(PATIENCE)?;
        }
        judge(&guest.console(), complaint)
    })();
    judged.map_err(|error| guest.failure(&error))
}

/// It says why it cannot boot, and nothing has faulted or panicked. Its status does not reach QEMU in
/// each case: how to end with one is in the boot arguments, which it may not have found.
///
/// # Errors
/// If it does anything else.
pub fn judge(console: &str, complaint: &str) -> Result<()> {
    let says_so = console.lines().any(|line| line.contains("mayfly: ") && line.contains(complaint));
    ensure!(says_so, "it does not say that `{complaint}`");
    ensure!(!console.contains("***"), "it has a report, and not an error");
    ensure!(!console.contains("mayfly-test: "), "it boots");
    Ok(())
}
