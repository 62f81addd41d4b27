//! A guest that Xen on ARM starts by itself, from the device tree, without dom0.
//!
//! QEMU says what its machine is like, [`tree`] adds the guest, and QEMU starts Xen with that tree
//! and puts the image into memory. There are no tools and no back ends, so the guest has a processor,
//! memory, a timer and a UART, and nobody tells how it has ended but itself.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use super::domain::last_status;
use super::{HYPERVISOR, Lab, machine};
use crate::run::{Console, Running};
use crate::temporary::TemporaryDirectory;
use crate::tools;

mod console;
mod tree;

use console::{Printed, Splitter};

/// Memory of the machine besides the guest's, in MiB: for Xen, the image as it was loaded, and tables.
const BESIDES: u64 = 256;

/// Where QEMU puts the image: above Xen and the device tree, which it puts at 128 MiB of its RAM.
const ADDRESS: u64 = 0x4a00_0000;

/// Xen's boot arguments.
const XEN: &str = "console=dtuart dtuart=/pl011@9000000 maxcpus=1 bootscrub=0 guest_loglvl=all";

/// How often a guest is looked at that prints nothing.
const INTERVAL: Duration = Duration::from_millis(50);

/// How long a guest has to be silent after a line that may be its last.
const SILENCE: Duration = Duration::from_millis(200);

/// Most bytes of the console's end that are searched for the exit status.
const TAIL: usize = 256;

/// What a guest prints as its last line when it reboots.
const REBOOTS: &[u8] = b"mayfly: reboots\n";

/// What Xen says of a guest that did what nobody may do.
const CRASHED: &str = "Domain 1 (vcpu#0) crashed";
/// What it says of itself.
const PANIC: &str = "Panic on CPU";

/// What a guest is made of.
pub struct Dom0less<'a> {
    /// The image.
    pub image: &'a Path,
    /// In MiB.
    pub memory: u64,
    /// Boot arguments.
    pub arguments: &'a [String],
    /// Version of ARM's interrupt controller.
    pub gic: u8,
}

/// A guest without dom0, and its Xen. They end when this is dropped.
pub struct Direct {
    running: Running,
    printed: Receiver<Printed>,
    /// The last bytes that the guest has printed.
    tail: Vec<u8>,
    /// When they came.
    heard: Instant,
    /// What Xen has said.
    xen: Vec<String>,
    has_crashed: bool,
    _tree: TemporaryDirectory,
}

impl Dom0less<'_> {
    /// Starts Xen, which starts the guest.
    ///
    /// # Errors
    /// If the image cannot be read, or QEMU cannot be started.
    pub fn start(&self, lab: &Lab) -> Result<Direct> {
        let directory = TemporaryDirectory::new()?;
        let (machine, with_guest) =
            (directory.path().join("machine.dtb"), directory.path().join("guest.dtb"));
        self.dump_tree(lab, &machine)?;
        let domain = tree::Domain {
            memory: self.memory * 1024,
            arguments: &self.command_line(),
            address: ADDRESS,
            size: self.image.metadata().context("the image is gone")?.len(),
        };
        fs::write(&with_guest, tree::with_domain(&fs::read(machine)?, XEN, &domain)?)?;

        let mut qemu = self.machine(lab);
        qemu.args(["-serial", "stdio", "-kernel", HYPERVISOR, "-dtb"]).arg(with_guest);
        // A comma ends a value on QEMU's command line, two are one comma.
        let image = self.image.to_string_lossy().replace(',', ",,");
        qemu.args(["-device", &format!("loader,file={image},addr={ADDRESS:#x},force-raw=on")]);
        // What is typed would go to a dom0 that is not there.
        qemu.stdin(Stdio::null());
        let (sender, printed) = mpsc::channel();
        let qemu = tools::dying_with_us(qemu);
        let running = Running::start(qemu, Sorted { splitter: Splitter::default(), sender })?;
        Ok(Direct {
            running,
            printed,
            tail: Vec::new(),
            heard: Instant::now(),
            xen: Vec::new(),
            has_crashed: false,
            _tree: directory,
        })
    }

    /// QEMU with the machine, and nothing to run.
    fn machine(&self, lab: &Lab) -> Command {
        let mut qemu = machine::bare(lab);
        qemu.args(["-monitor", "none"]);
        machine::of_arm(&mut qemu, self.gic, BESIDES + self.memory);
        qemu
    }

    /// Has QEMU write the device tree of the machine.
    fn dump_tree(&self, lab: &Lab, file: &Path) -> Result<()> {
        let mut qemu = self.machine(lab);
        let file = file.to_string_lossy().replace(',', ",,");
        qemu.args(["-machine", &format!("dumpdtb={file}")]).stdin(Stdio::null());
        let output = qemu.output().with_context(|| tools::cannot_start(&qemu))?;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "QEMU does not describe its machine: {}", said.trim());
        Ok(())
    }

    fn command_line(&self) -> String {
        let words: Vec<String> = self.arguments.iter().map(|word| tools::quote(word)).collect();
        words.join(" ")
    }
}

/// How a guest without dom0 has ended. Which reason it gave is known to Xen alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DirectEnding {
    /// It printed this exit status as its last line.
    Status(u8),
    /// It said that it reboots, which Xen does not do without dom0.
    Reboot,
    /// Xen has ended it.
    Crashed,
}

impl Direct {
    /// Waits a moment, and gives `console` what the guest has printed meanwhile. Tells how it has
    /// ended, once it has.
    ///
    /// # Errors
    /// If Xen has ended, with what it said.
    pub fn follow(&mut self, console: &mut dyn FnMut(&[u8])) -> Result<Option<DirectEnding>> {
        match self.printed.recv_timeout(INTERVAL) {
            Ok(Printed::Guest(bytes)) => {
                console(&bytes);
                self.note(&bytes);
                return Ok(None);
            }
            Ok(Printed::Xen(line)) => {
                self.has_crashed |= line.contains(CRASHED);
                let is_panic = line.contains(PANIC);
                self.xen.push(line);
                ensure!(!is_panic, "Xen has panicked:\n{}", self.said()?);
                return Ok(None);
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => bail!("QEMU has ended:\n{}", self.said()?),
        }
        if self.heard.elapsed() < SILENCE {
            return Ok(None);
        }
        if self.has_crashed {
            return Ok(Some(DirectEnding::Crashed));
        }
        let ending = last_status(&self.tail).map(DirectEnding::Status);
        Ok(ending.or_else(|| self.tail.ends_with(REBOOTS).then_some(DirectEnding::Reboot)))
    }

    fn note(&mut self, bytes: &[u8]) {
        self.tail.extend_from_slice(bytes);
        self.tail.drain(..self.tail.len().saturating_sub(TAIL));
        self.heard = Instant::now();
    }

    /// What Xen has said, to the end of what it says at once.
    fn said(&mut self) -> Result<String> {
        while let Ok(printed) = self.printed.recv_timeout(SILENCE) {
            if let Printed::Xen(line) = printed {
                self.xen.push(line);
            }
        }
        self.running.stop()?;
        Ok(self.xen.join("\n"))
    }

    /// What Xen has said of the guest since it runs.
    pub fn xen(&self) -> &[String] {
        let start = self.xen.iter().position(|line| line.contains("init memory"));
        self.xen.get(start.map_or(0, |start| start + 1)..).unwrap_or_default()
    }
}

/// A console whose lines go to a channel.
struct Sorted {
    splitter: Splitter,
    sender: Sender<Printed>,
}

impl Console for Sorted {
    fn bytes(&mut self, bytes: &[u8]) {
        // If nobody listens any more, nobody wants to know.
        self.splitter.split(bytes, &mut |printed| drop(self.sender.send(printed)));
    }
}
