//! Images whose loader has put its data where the image's variables, stacks and page tables are going
//! to be, or right beside: what QEMU's loader has left is moved there before the image runs.
//!
//! | what | behind the file, in the image | right before or behind the image |
//! |---|---|---|
//! | device tree (ARM) | is moved behind the image, and used | is used |
//! | initrd (ARM) | is left out, with a warning; also where the tree is moved to | is used |
//! | start_info and what it leads to (x86-64) | is refused: an ELF file says how much memory it takes | is used, behind it |

use std::time::Duration;

use anyhow::{Context, Result, ensure};

use super::case::{Case, Failure};
use super::damaged;
use super::directives::Directives;
use super::guest::TestGuest;
use super::guests;
use super::loader;
use super::stub::{self, Stub};
use super::variant;
use crate::arch::Arch;
use crate::build::{self, How, Image, elf};
use crate::run::{Hardware, Network};
use crate::temporary::TemporaryDirectory;

mod arm;
mod x86_64;

/// The test guest, which looks for what was moved.
const GUEST: &str = "in_the_way";
const PATIENCE: Duration = Duration::from_secs(60);

/// The initrd's bytes.
const INITRD: usize = 5000;

/// Written where something was, so that nobody finds it there.
const GONE: u8 = 0xee;

/// Moves something in a machine that has not begun with the image.
type Change = dyn Fn(&mut Stub, &Image, &Places) -> Result<()> + Send + Sync;

/// What is to come of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    /// The guest finds everything.
    Found,
    /// It boots, and says this about the initrd, which it does not find.
    Lost(&'static str),
    /// It does not boot, and says this.
    Refused(&'static str),
}

/// A test.
struct Trial {
    name: &'static str,
    change: Box<Change>,
    outcome: Outcome,
}

/// The tests of an architecture.
///
/// # Errors
/// If the test guests cannot be found.
pub fn cases(arch: Arch, how: &How) -> Result<Vec<Case>> {
    let image = build::image_of(&guests::package()?.app, arch, how, GUEST);
    let machine = variant::of(arch).first().context("no machine")?.hardware();
    let trials = if arch == Arch::X86_64 { x86_64::trials() } else { arm::trials() };
    let case = |trial: Trial| {
        let (image, machine) = (image.clone(), machine.clone());
        let name = format!("guests/{GUEST}/{arch}/{}", trial.name);
        Case::new(name, move || run(&image, &machine, &trial))
    };
    Ok(trials.into_iter().map(case).collect())
}

fn run(image: &Image, machine: &Hardware, trial: &Trial) -> Result<(), Failure> {
    let place = TemporaryDirectory::new()?;
    let socket = place.path().join("stub");
    let hardware = Hardware { memory: loader::memory(), ..machine.clone() };
    let initrd = guests::initrd(INITRD)?;
    let mut extra = stub::arguments(&socket);
    extra.extend(["-initrd".to_owned(), initrd.path().to_string_lossy().into_owned()]);
    let mut arguments = vec!["word=seen".to_owned()];
    arguments.extend(matches!(trial.outcome, Outcome::Lost(_)).then(|| "lost".to_owned()));
    let mut guest = TestGuest::start_with(image, hardware, Network::None, &arguments, extra)?;
    let judged = (|| {
        let mut stub = Stub::connect(&socket)?;
        (trial.change)(&mut stub, image, &Places::read(image)?)?;
        stub.go_on()?;
        let status = guest.wait(PATIENCE)?;
        judge(trial.outcome, status, &guest.console())
    })();
    judged.map_err(|error| guest.failure(&error))
}

fn judge(outcome: Outcome, status: u8, console: &str) -> Result<()> {
    let mut wanted = Directives::default();
    match outcome {
        Outcome::Refused(complaint) => return damaged::judge(console, complaint),
        Outcome::Lost(warning) => wanted.reports.push(warning.to_owned()),
        Outcome::Found => {}
    }
    guests::judge(&wanted, status, console)?;
    let warned = console.contains("the initrd");
    ensure!(outcome != Outcome::Found || !warned, "it has a warning about the initrd");
    Ok(())
}

/// Where the parts of an image are, as distances from its start.
struct Places(Vec<u8>);

impl Places {
    fn read(image: &Image) -> Result<Self> {
        let file = std::fs::read(&image.elf);
        Ok(Self(file.with_context(|| format!("cannot read {}", image.elf.display()))?))
    }

    /// How far a symbol of the linker script is behind the image's start.
    fn of(&self, symbol: &str) -> Result<u64> {
        let file = object::File::parse(self.0.as_slice())?;
        Ok(elf::symbol(&file, symbol)? - elf::symbol(&file, "__image_start")?)
    }
}

/// Moves bytes, so that they are only where they are moved to.
fn relocate(stub: &mut Stub, from: u64, to: u64, size: usize) -> Result<()> {
    let bytes = stub.read(from, size)?;
    stub.write(from, &vec![GONE; size])?;
    stub.write(to, &bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASS: &str = "mayfly-test: PASS\n";

    #[test]
    fn an_initrd_that_is_lost_is_warned_of() {
        let lost = Outcome::Lost("it is gone");
        assert!(judge(lost, 0, &format!("the initrd: it is gone\n{PASS}")).is_ok());
        assert!(judge(lost, 0, PASS).is_err());
        assert!(judge(Outcome::Found, 0, PASS).is_ok());
        assert!(judge(Outcome::Found, 0, &format!("the initrd is odd\n{PASS}")).is_err());
    }

    #[test]
    fn what_is_refused_does_not_boot() {
        let refused = Outcome::Refused("in the image");
        assert!(judge(refused, 1, "mayfly: it lies in the image\n").is_ok());
        assert!(judge(refused, 1, &format!("mayfly: it lies in the image\n{PASS}")).is_err());
        assert!(judge(refused, 1, "mayfly: no\n").is_err());
    }
}
