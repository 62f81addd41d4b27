//! The page tables of a guest that has started, looked at from outside: the machine is stopped, and the
//! tables are followed from the processor's registers on, through memory as the hypervisor sees it.

use std::time::Duration;

use anyhow::{Context, Result, ensure};

use super::case::{Case, Failure};
use super::guest::TestGuest;
use super::guests;
use super::stub::{self, Stub};
use super::variant::{self, Variant};
use crate::arch::Arch;
use crate::build::{self, How, Image};
use crate::run::{Hardware, Network};
use crate::temporary::TemporaryDirectory;
use format::{Arm, X86};
use judge::{Layout, judge};
use walk::{ENTRIES, Format, walk};

mod format;
mod judge;
#[cfg(test)]
mod tests;
mod walk;

/// The test guest, which waits, and what it says then.
const GUEST: &str = "finished_tables";
const READY: &str = "The page tables are finished.";
const PATIENCE: Duration = Duration::from_secs(60);

/// Sizes of memory: with the larger one, there are mappings of all sizes, and memory in two places on
/// x86-64.
const MEMORY: [&str; 2] = ["64M", "8G"];

/// The tests of an architecture: all its machines, as what devices have mapped is different.
///
/// # Errors
/// If the test guests cannot be found.
pub fn cases(arch: Arch, how: &How) -> Result<Vec<Case>> {
    let image = build::image_of(&guests::package()?.app, arch, how, GUEST);
    let case = |(machine, memory): (&Variant, &str)| {
        let hardware = Hardware { memory: memory.into(), ..machine.hardware() };
        let image = image.clone();
        let name = format!("guests/{GUEST}/{arch}/{}/{memory}", machine.name);
        Case::new(name, move || run(&image, &hardware))
    };
    let with_memory = |machine| MEMORY.map(|memory| (machine, memory));
    Ok(variant::of(arch).iter().flat_map(with_memory).map(case).collect())
}

fn run(image: &Image, hardware: &Hardware) -> Result<(), Failure> {
    let place = TemporaryDirectory::new()?;
    let socket = place.path().join("stub");
    let network = Network::User(Vec::new());
    let extra = stub::later(&socket);
    let mut guest = TestGuest::start_with(image, hardware.clone(), network, &[], extra)?;
    let judged = (|| {
        let file = std::fs::read(&image.elf)?;
        let layout = Layout::read(&object::File::parse(file.as_slice())?)?;
        guest.until("line", PATIENCE, |console| console.contains(READY).then_some(()))?;
        let mut stub = Stub::connect(&socket)?;
        stub.use_physical_addresses()?;
        let (format, root) = registers(&mut stub, image.arch)?;
        let mut read = |table| table_at(&mut stub, table);
        judge(&walk(&*format, root, &mut read)?, &layout, lowest(image.arch))
    })();
    judged.map_err(|error| guest.failure(&error))
}

/// The first address that anything may be mapped at: on x86-64 that of the upper half, on ARM that of
/// the first window in `layout.rs`.
fn lowest(arch: Arch) -> u64 {
    match arch {
        Arch::X86_64 => 0xffff_8000_0000_0000,
        Arch::Aarch64 => 4 << 30,
        Arch::Armv7 => 256 << 20,
    }
}

/// How the processor understands tables, and where the first is.
fn registers(stub: &mut Stub, arch: Arch) -> Result<(Box<dyn Format>, u64)> {
    if arch == Arch::X86_64 {
        let printed = stub.monitor("info registers")?;
        let value = |name| printed_value(&printed, name);
        x86_64(value("CR0")?, value("CR4")?, value("EFER")?)?;
        return Ok((Box::new(X86), value("CR3")? & format::ADDRESS));
    }
    let names = stub.registers()?;
    let mut value = |name| stub.named(&names, name);
    arm(value("SCTLR")?, arch)?;
    let (format, root) = match arch {
        Arch::Armv7 => (armv7(value("TTBCR")?)?, value("TTBR0")?),
        _ => (aarch64(value("TCR_EL1")?)?, value("TTBR0_EL1")?),
    };
    Ok((Box::new(format), root & format::ADDRESS_ARM))
}

/// The value of a register in what QEMU's monitor prints: `CR0=80010033 CR2=…`.
fn printed_value(printed: &str, name: &str) -> Result<u64> {
    let value = |word: &str| Some(word.strip_prefix(name)?.strip_prefix('=')?.to_owned());
    let value = printed.split_whitespace().find_map(value);
    let value = value.with_context(|| format!("QEMU's monitor prints no {name}"))?;
    Ok(u64::from_str_radix(&value, 16)?)
}

/// Fails unless tables have four levels, their permissions hold for the kernel, and caches are on.
fn x86_64(cr0: u64, cr4: u64, efer: u64) -> Result<()> {
    const PAGING: u64 = 1 << 31;
    const CACHES_OFF: u64 = 3 << 29;
    const WRITE_PROTECT: u64 = 1 << 16;
    const FIVE_LEVELS: u64 = 1 << 12;
    const LONG_MODE: u64 = 1 << 10;
    const NO_EXECUTE: u64 = 1 << 11;
    ensure!(cr0 & PAGING != 0 && efer & LONG_MODE != 0, "it is not in long mode");
    ensure!(cr0 & CACHES_OFF == 0, "caches are off (CR0.CD, CR0.NW)");
    ensure!(cr4 & FIVE_LEVELS == 0, "its tables have five levels");
    ensure!(cr0 & WRITE_PROTECT != 0, "the kernel may write what is read-only");
    ensure!(efer & NO_EXECUTE != 0, "all that is mapped may be executed");
    Ok(())
}

/// By SCTLR: fails unless the MMU, both caches and, on ARMv7, where that can be said, the prediction of
/// branches are on (ARM DDI 0487, SCTLR_EL1; DDI 0406C, B4.1.130).
fn arm(control: u64, arch: Arch) -> Result<()> {
    const MMU: u64 = 1;
    const DATA_CACHE: u64 = 1 << 2;
    const BRANCHES: u64 = 1 << 11;
    const INSTRUCTION_CACHE: u64 = 1 << 12;
    ensure!(control & MMU != 0, "the MMU is off");
    ensure!(control & DATA_CACHE != 0, "the data cache is off");
    ensure!(control & INSTRUCTION_CACHE != 0, "the instruction cache is off");
    ensure!(arch != Arch::Armv7 || control & BRANCHES != 0, "branches are not predicted");
    Ok(())
}

/// By TCR_EL1: pages of 4 KiB, and nothing through TTBR1.
fn aarch64(control: u64) -> Result<Arm> {
    const UPPER_OFF: u64 = 1 << 23;
    ensure!(control & UPPER_OFF != 0, "TTBR1 has tables, too");
    ensure!(control >> 14 & 3 == 0, "pages are not of 4 KiB");
    let bits = 64 - u32::try_from(control & 63)?;
    Ok(Arm { bits, is_64_bit: true })
}

/// By TTBCR: long descriptors, all 32 bits through TTBR0.
fn armv7(control: u64) -> Result<Arm> {
    const LONG: u64 = 1 << 31;
    const UPPER_OFF: u64 = 1 << 23;
    ensure!(control & LONG != 0, "descriptors are short");
    ensure!(control & UPPER_OFF != 0 && control & 7 == 0, "TTBR1 has tables, too");
    Ok(Arm { bits: 32, is_64_bit: false })
}

/// The entries of the table at a physical address.
fn table_at(stub: &mut Stub, address: u64) -> Result<[u64; ENTRIES]> {
    let bytes = stub.read(address, ENTRIES * 8)?;
    let mut entries = [0; ENTRIES];
    for (entry, bytes) in entries.iter_mut().zip(bytes.as_chunks().0) {
        *entry = u64::from_le_bytes(*bytes);
    }
    Ok(entries)
}
