//! What a test guest says about itself, in comments at the start of its source.
//!
//! ```text
//! //@ dies: 2                    it must not pass its verdict, but end with this status
//! //@ report: NULL page          the console must show this text, as `xtask run` shows it: with
//!                                places in the source; of several, in their order
//! //@ status: 7                  exit status of a guest that passes; 0 if not given
//! //@ arguments: key=value       boot arguments, in which {memory} stands for the KiB that there are,
//!                                under QEMU
//! //@ arch: x86_64               architectures that it is for; all if not given
//! //@ machine: q35 pc            machines that it is for: microvm q35 pc, gic2 gic3, or qemu for all
//!                                of these, which is so if not given; hyp-gic2 hyp-gic3, which enter
//!                                it at the level of hypervisors; legacy, with devices of virtio-mmio
//!                                as they were before 1.0; acpi, a microvm with ACPI; and xen, to run
//!                                it in the lab; or lab, if a test in the lab tells the guest what to
//!                                do, or peers if one in xtask/src/test/peers does, or damaged.rs,
//!                                in_the_way or tables
//! //@ memory: least 8G           memory; a test for each size, of which QEMU can do; the least is
//!                                2M, but 3M on AArch64
//! //@ cpu: default max           processors; a test for each
//! //@ smp: 4                     number of processors
//! //@ disk: 1M                   an empty disk of this size, in the lab as well; may be repeated
//! //@ initrd: 5000               an initrd of this size, see [`super::guests::initrd`]
//! //@ randomness: device         where the machine has it from: an entropy device; a seed in the device
//!                                tree; or none, but what the processor may have; both if not given
//! //@ type: virtio               a console at which a line is typed when it asks who is there: serial, or
//!                                virtio, beside the other one; or unread, the same while nobody reads
//!                                the serial port
//! //@ network: none              no network card in QEMU, where there is one if not given; or `lab`, for
//!                                one in the lab, where there is none if not given
//! //@ timeout: 120               seconds; 60 if not given
//! //@ shutdown: reboot           the reason that Xen has for its end: poweroff, reboot, crash or
//!                                watchdog; if not given, crash for a guest that dies, and otherwise
//!                                poweroff
//! //@ dom0: vchan.sh             a script of xtask/src/test/lab/dom0 that dom0 runs meanwhile
//! ```

use anyhow::{Context, Result, bail, ensure};

use super::typed::Console;
use super::variant::{self, Variant};
use crate::arch::Arch;
use crate::lab::Reason;
use crate::run::bytes;

/// All machines of QEMU's, and the machine of guests that run in the lab.
const QEMU: &str = "qemu";
const XEN: &str = "xen";

/// Stands for the memory of the machine.
const MEMORY: &str = "{memory}";

/// No machine: tests in the lab run the guest, and tell it what to do.
const LAB: &str = "lab";

/// No machine: tests in [`super::peers`], [`super::damaged`], [`super::in_the_way`] or
/// [`super::tables`] run the guest.
const PEERS: &str = "peers";

/// How a test guest is run, and what must come out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Directives {
    /// The exit status that it must end with.
    pub status: u8,
    /// Whether it must end by a fault or panic, and not with the verdict that it has passed.
    pub dies: bool,
    /// Texts that must appear on the console, each behind the one before.
    pub reports: Vec<String>,
    /// Boot arguments.
    pub arguments: Vec<String>,
    /// Sizes of memory to run it with, or [`LEAST_MEMORY`](variant::LEAST_MEMORY).
    pub memory: Vec<String>,
    /// Processors to run it on; `default` is QEMU's own.
    pub cpus: Vec<String>,
    /// Number of processors.
    pub smp: u8,
    /// Sizes of its disks.
    pub disks: Vec<String>,
    /// Size of its initrd in bytes.
    pub initrd: Option<usize>,
    /// Whether it has an entropy device, and a seed in the device tree, where there is one.
    pub entropy_device: bool,
    pub seed: bool,
    /// The console at which somebody types.
    pub typed: Option<Console>,
    /// Whether it has a network card in QEMU.
    pub network: bool,
    /// Whether it has one in the lab.
    pub lab_network: bool,
    /// Seconds that it may take.
    pub timeout: u64,
    /// The script that dom0 runs meanwhile.
    pub dom0: Option<String>,
    /// The reason that it must give when it shuts down under Xen, if that is not as usual.
    shutdown: Option<Reason>,
    arches: Vec<String>,
    machines: Vec<String>,
}

impl Default for Directives {
    fn default() -> Self {
        Self {
            status: 0,
            dies: false,
            reports: Vec::new(),
            arguments: Vec::new(),
            memory: vec!["64M".into()],
            cpus: vec!["default".into()],
            smp: 1,
            disks: Vec::new(),
            initrd: None,
            entropy_device: true,
            seed: true,
            typed: None,
            network: true,
            lab_network: false,
            timeout: 60,
            dom0: None,
            shutdown: None,
            arches: Vec::new(),
            machines: Vec::new(),
        }
    }
}

impl Directives {
    /// Reads them from the source of a guest.
    ///
    /// # Errors
    /// If there is one that is not known: it would be ignored without anyone noticing.
    pub fn parse(source: &str) -> Result<Self> {
        let mut directives = Self::default();
        for line in source.lines().filter_map(|line| line.strip_prefix("//@")) {
            let (key, value) = line.split_once(':').with_context(|| format!("//@{line}"))?;
            directives
                .set(key.trim(), value.trim())
                .with_context(|| format!("the directive `//@{line}`"))?;
        }
        Ok(directives)
    }

    /// The boot arguments on a machine with so much memory.
    pub fn arguments_for(&self, memory: &str) -> Vec<String> {
        let kibibytes = bytes(memory).unwrap_or(0) / 1024;
        let filled_in = |argument: &String| argument.replace(MEMORY, &kibibytes.to_string());
        self.arguments.iter().map(filled_in).collect()
    }

    fn set(&mut self, key: &str, value: &str) -> Result<()> {
        let words = || value.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
        ensure!(!value.is_empty(), "it has no value");
        match key {
            "dies" => (self.dies, self.status) = (true, value.parse()?),
            "status" => self.status = value.parse()?,
            "report" => self.reports.push(value.to_owned()),
            "arguments" => self.arguments = words(),
            "arch" => self.arches = known(words(), |arch, _| arch.name())?,
            "machine" => self.machines = known(words(), |_, variant| variant.name)?,
            "memory" => self.memory = words(),
            "cpu" => self.cpus = words(),
            "smp" => self.smp = value.parse()?,
            "disk" => self.disks.push(value.to_owned()),
            "initrd" => self.initrd = Some(value.parse()?),
            "randomness" => {
                (self.entropy_device, self.seed) = match value {
                    "device" => (true, false),
                    "seed" => (false, true),
                    "none" => (false, false),
                    _ => bail!("it is none of device, seed, none"),
                }
            }
            "type" => {
                self.typed =
                    Some(Console::named(value).context("it is none of serial, virtio and unread")?);
            }
            "network" => (self.network, self.lab_network) = (value != "none", value == "lab"),
            "timeout" => self.timeout = value.parse()?,
            "dom0" => self.dom0 = Some(value.to_owned()),
            "shutdown" => self.shutdown = Some(reason(value)?),
            _ => bail!("it is not known; xtask/src/test/directives.rs lists those that are"),
        }
        Ok(())
    }

    /// QEMU's machines of `arch` that the guest is for.
    pub fn variants(&self, arch: Arch) -> Vec<Variant> {
        if !wanted(&self.arches, arch.name()) {
            return Vec::new();
        }
        let all = wanted(&self.machines, QEMU);
        let named = |variant: &Variant| self.machines.iter().any(|one| one == variant.name);
        let usual = variant::of(arch).iter().filter(|variant| all || named(variant));
        usual
            .chain(variant::special(arch).iter().filter(|variant| named(variant)))
            .copied()
            .collect()
    }

    /// Whether it is for Xen on `arch`.
    pub fn under_xen(&self, arch: Arch) -> bool {
        wanted(&self.arches, arch.name()) && self.machines.iter().any(|one| one == XEN)
    }

    /// The reason that it must give when it shuts down under Xen.
    pub fn shutdown(&self) -> Reason {
        let usual = if self.dies { Reason::Crash } else { Reason::PowerOff };
        self.shutdown.unwrap_or(usual)
    }
}

/// Whether `name` is in a list, of which an empty one stands for all names.
fn wanted(list: &[String], name: &str) -> bool {
    list.is_empty() || list.iter().any(|one| one == name)
}

/// A reason, as xl's `on_…` options call it.
fn reason(name: &str) -> Result<Reason> {
    match name {
        "poweroff" => Ok(Reason::PowerOff),
        "reboot" => Ok(Reason::Reboot),
        "crash" => Ok(Reason::Crash),
        "watchdog" => Ok(Reason::Watchdog),
        _ => bail!("`{name}` is none of poweroff, reboot, crash, watchdog"),
    }
}

/// Checks that each word is the name of an architecture or a machine: a guest for one that does not
/// exist would never run.
fn known(
    words: Vec<String>,
    name: fn(Arch, &'static Variant) -> &'static str,
) -> Result<Vec<String>> {
    let of = |&arch: &Arch| {
        let machines = variant::of(arch).iter().chain(variant::special(arch));
        machines.map(move |variant| name(arch, variant))
    };
    let names: Vec<&str> = Arch::ALL.iter().flat_map(of).chain([QEMU, XEN, LAB, PEERS]).collect();
    match words.iter().find(|word| !names.contains(&word.as_str())) {
        Some(unknown) => bail!("`{unknown}` is none of {}", names.join(", ")),
        None => Ok(words),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_guest_without_directives_runs_everywhere_and_passes() {
        let directives = Directives::parse("//! A guest.\nfn main() {}\n").unwrap();
        assert_eq!(directives, Directives::default());
        assert_eq!(directives.variants(Arch::X86_64).len(), 3);
        assert_eq!(directives.variants(Arch::Aarch64).len(), 2);
    }

    #[test]
    fn a_guest_that_is_only_for_xen_is_not_run_in_qemu() {
        let of = |source| Directives::parse(source).unwrap();
        assert!(!Directives::default().under_xen(Arch::X86_64));
        let only = of("//@ machine: xen\n//@ arch: armv7\n");
        assert!(only.under_xen(Arch::Armv7) && !only.under_xen(Arch::Aarch64));
        assert!(only.variants(Arch::Armv7).is_empty());
        let both = of("//@ machine: qemu xen\n");
        assert!(both.under_xen(Arch::Aarch64) && both.variants(Arch::Aarch64).len() == 2);
        let some = of("//@ machine: gic3 xen\n");
        assert!(some.under_xen(Arch::X86_64) && some.variants(Arch::X86_64).is_empty());
        assert_eq!(some.variants(Arch::Armv7).len(), 1);
    }

    #[test]
    fn special_machines_have_to_be_named() {
        let names = |source| {
            let variants = Directives::parse(source).unwrap().variants(Arch::Armv7);
            variants.iter().map(|variant| variant.name).collect::<Vec<_>>()
        };
        assert_eq!(names("//@ machine: qemu\n"), ["gic2", "gic3"]);
        assert_eq!(names("//@ machine: qemu hyp-gic3\n"), ["gic2", "gic3", "hyp-gic3"]);
        let other = Directives::parse("//@ machine: hyp-gic3\n").unwrap();
        assert!(other.variants(Arch::X86_64).is_empty());
    }

    #[test]
    fn sources_and_consoles_are_those_that_there_are() {
        let of = |source| Directives::parse(source).unwrap();
        let sources = |source| (of(source).entropy_device, of(source).seed);
        assert_eq!(sources(""), (true, true));
        assert_eq!(sources("//@ randomness: device\n"), (true, false));
        assert_eq!(sources("//@ randomness: seed\n"), (false, true));
        assert_eq!(sources("//@ randomness: none\n"), (false, false));
        assert_eq!(of("//@ type: virtio\n").typed, Some(Console::Virtio));
        for unknown in ["//@ randomness: dice\n", "//@ type: mouse\n"] {
            assert!(Directives::parse(unknown).is_err(), "{unknown}");
        }
    }

    #[test]
    fn guests_that_die_crash_unless_they_say_otherwise() {
        let of = |source| Directives::parse(source).unwrap().shutdown();
        assert_eq!(of(""), Reason::PowerOff);
        assert_eq!(of("//@ dies: 102\n"), Reason::Crash);
        assert_eq!(of("//@ dies: 1\n//@ shutdown: poweroff\n"), Reason::PowerOff);
        assert!(Directives::parse("//@ shutdown: halt\n").is_err());
    }

    #[test]
    fn directives_say_how_a_guest_is_run() {
        let source = "//@ dies: 2\n//@ report: NULL page\n//@ report: main\n//@ machine: q35 gic3\n\
                      //@ memory: 4M 8G\n//@ arguments: a=b log=debug\n";
        let directives = Directives::parse(source).unwrap();
        assert!(directives.dies && directives.status == 2);
        assert_eq!(directives.reports, ["NULL page", "main"]);
        assert_eq!(directives.memory, ["4M", "8G"]);
        assert_eq!(directives.arguments, ["a=b", "log=debug"]);
        assert_eq!(directives.arguments_for("64M"), ["a=b", "log=debug"]);
        let counted = Directives::parse("//@ arguments: has={memory}\n").unwrap();
        assert_eq!(counted.arguments_for("8M"), ["has=8192"]);
        assert_eq!(directives.variants(Arch::X86_64)[0].name, "q35");
        assert_eq!(directives.variants(Arch::Armv7)[0].name, "gic3");
    }

    #[test]
    fn unknown_directives_are_errors() {
        for wrong in
            ["//@ reprot: x", "//@ dies: maybe", "//@ dies", "//@ report:", "//@ machine: q36"]
        {
            assert!(Directives::parse(wrong).is_err(), "{wrong}");
        }
    }
}
