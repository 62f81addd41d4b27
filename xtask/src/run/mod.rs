//! `run`: builds an image and starts it.
//!
//! In QEMU ([`guest`]), as a Linux process ([`unix`]), under Xen in the lab ([`xen`]), or under Xen
//! without dom0 ([`dom0less`]).

use std::net::SocketAddrV4;
use std::process::Command;
use std::time::Duration;

use anyhow::{Result, bail};
use clap::{Args, ValueEnum};

use crate::app::App;
use crate::arch::Arch;
use crate::build::{self, Image, What};
use crate::symbolize::Symbolized;
use crate::xl_cfg::Config;
use crate::{lab, setup, tools, ui};

mod arguments;
mod debugger;
mod dom0less;
mod guest;
mod hardware;
mod machine;
mod memory;
mod network;
mod passt;
mod ports;
mod probe;
mod process;
mod tap;
mod unix;
mod xen;

pub use guest::{Guest, guest_status};
pub use hardware::Hardware;
pub use machine::Machine;
pub use memory::bytes;
pub use network::{Forward, Network, Protocol, declared};
pub use passt::Passt;
pub use ports::{Reserved, choose_host_ports};
pub use probe::answers;
pub use process::{Console, End, Running, interrupted};
pub use unix::arguments as process_arguments;
pub use xen::mebibytes;

/// Exit status when the guest had to be stopped because its time was up, as of timeout(1).
const TIMED_OUT: u8 = 124;
/// Exit status after Ctrl-C, as a shell has it.
const INTERRUPTED: u8 = 130;

/// Builds an app and runs it: in QEMU, as a Linux process, or under Xen.
#[derive(Args)]
#[command(after_help = "Examples:
  cargo xtask run http                         then open the URL that it prints
  cargo xtask run hello --arch aarch64 --gic 3
  cargo xtask run ../myapp --disk disk.img -- greeting='good morning'
  cargo xtask run http --gdb                   waits for gdb, and prints how to start it
  cargo xtask run http --tap tap0 -- ip=10.0.0.2/24 gateway=10.0.0.1
  cargo xtask run http --on unix               the same app as a Linux process
  cargo xtask run http --on xen                as a guest of Xen, which is itself in QEMU
  cargo xtask run hello --on xen-dom0less --arch aarch64

Ctrl-C ends the guest. The exit status is the guest's; 124 after --timeout, 130 after Ctrl-C.
An app says in its Cargo.toml which ports of it are to be reached:
  [package.metadata.mayfly]
  ports = [\"80/http\", \"7/udp\"]")]
pub struct Options {
    #[command(flatten)]
    what: What,
    /// Architecture to build for and to emulate.
    #[arg(long, value_enum, default_value = "x86_64")]
    arch: Arch,
    /// Where to run it.
    #[arg(
        long = "on",
        value_name = "PLATFORM",
        value_enum,
        default_value = "qemu",
        visible_alias = "platform"
    )]
    platform: Platform,
    #[command(flatten)]
    hardware: Hardware,
    /// Makes a port of the guest reachable at a port of this machine, besides those that the app
    /// declares; a port that it declares is then reachable here instead of at a port that is chosen
    /// for it. May be repeated. PROTOCOL is tcp, udp or http; tcp if not given, or http if the app
    /// declares so.
    #[arg(long = "port", value_name = "[HOST:]GUEST[/PROTOCOL]")]
    ports: Vec<Forward>,
    /// Connects the guest to an existing TAP interface instead of the user-mode network. A Linux
    /// process takes one by itself if it is up, free, ours and has an address of this machine, and
    /// nothing else is said about the network.
    #[arg(long, value_name = "INTERFACE", conflicts_with = "ports")]
    tap: Option<String>,
    /// Waits for gdb before the first instruction, and prints the command that starts gdb.
    #[arg(long)]
    gdb: bool,
    /// Ends the guest after so many seconds.
    #[arg(long, value_name = "SECONDS")]
    timeout: Option<u64>,
    /// Boot arguments for the app, after `--`.
    #[arg(last = true, value_name = "ARGUMENT")]
    arguments: Vec<String>,
}

/// Where an app runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Platform {
    /// As an image, in QEMU.
    Qemu,
    /// As a process on this machine.
    Unix,
    /// As a guest of the lab's Xen.
    Xen,
    /// As a guest of Xen that it starts without dom0, on ARM.
    XenDom0less,
}

impl Options {
    /// Builds, runs, and gives the guest's exit status.
    pub fn execute(&self) -> Result<u8> {
        let app = self.what.find()?;
        match self.platform {
            Platform::Qemu => self.in_qemu(&app),
            Platform::Unix => self.as_process(&app),
            Platform::Xen => self.in_lab(&app),
            Platform::XenDom0less => self.without_dom0(&app),
        }
    }

    fn in_qemu(&self, app: &App) -> Result<u8> {
        self.hardware.machine_for(self.arch)?;
        let image = build::build(app, self.arch, &self.what.how)?;
        if arguments::check(&image.elf, &self.arguments)? {
            return Ok(0);
        }
        memory::ensure_room(&image, &self.hardware.memory)?;
        let (guest, _ports) = self.guest(app, &image)?;
        let qemu = self.arch.qemu();
        setup::programs(&[qemu])?;
        let mut command = Command::new(qemu);
        command.args(guest.qemu_arguments()?);

        announce_ports(guest.network.forwards());
        let urls = urls(app, &guest.network, &self.arguments)?;
        if let Some(port) = guest.gdb {
            ui::progress("Waiting", "for gdb; in another terminal type:");
            eprintln!("{}", debugger::command_line(app, &image, port));
        }
        // Before QEMU starts, so that no Ctrl-C is missed.
        interrupted();
        ui::progress("Running", tools::describe(&command));
        let mut running = Running::start(command, Symbolized::new(image.elf.clone()))?;
        probe::announce_urls(urls);
        let end = running.wait(self.timeout.map(Duration::from_secs))?;
        exit_status(self.arch, end, running.drain())
    }

    /// Runs the app as a guest of Xen.
    fn in_lab(&self, app: &App) -> Result<u8> {
        xen::refuse(&self.for_qemu_only(), "xen")?;
        let image = build::build(app, self.arch, &self.what.how)?;
        if arguments::check(&image.elf, &self.arguments)? {
            return Ok(0);
        }
        let memory = mebibytes(&self.hardware.memory)?;
        let config = Config::for_lab(app, &image, Some(memory), &self.arguments)?;
        let disks = (0..self.hardware.disks.len()).map(lab::disk).collect();
        let config = Config { network: true, disks, ..config };
        let (network, _ports) = self.network(app)?;
        let timeout = self.timeout.map(Duration::from_secs);
        match xen::run(&image, &config, &self.hardware, &network, timeout)? {
            Some(status) => Ok(status),
            None if interrupted() => Ok(INTERRUPTED),
            None => Ok(timed_out()),
        }
    }

    /// Runs the app as a guest of Xen without dom0.
    fn without_dom0(&self, app: &App) -> Result<u8> {
        dom0less::ensure_possible(app, self.arch)?;
        let mut refused = self.for_qemu_only();
        refused.extend((!self.hardware.disks.is_empty()).then_some("--disk"));
        refused.extend((!self.ports.is_empty()).then_some("--port"));
        xen::refuse(&refused, "xen-dom0less")?;
        let image = build::build(app, self.arch, &self.what.how)?;
        if arguments::check(&image.elf, &self.arguments)? {
            return Ok(0);
        }
        let memory = mebibytes(&self.hardware.memory)?;
        // It has the same needs as under xl.
        let memory = Config::of(app, &image, Some(memory), &[])?.memory;
        let timeout = self.timeout.map(Duration::from_secs);
        match dom0less::run(&image, memory, &self.arguments, self.hardware.gic, timeout)? {
            Some(status) => Ok(status),
            None if interrupted() => Ok(INTERRUPTED),
            None => Ok(timed_out()),
        }
    }

    /// The options that were given and mean nothing to the lab, or not yet.
    fn for_qemu_only(&self) -> Vec<&'static str> {
        let mut given = self.hardware.of_machines();
        given.retain(|&option| option != "--gic" || self.arch == Arch::X86_64);
        given.extend(self.tap.is_some().then_some("--tap"));
        given.extend(self.gdb.then_some("--gdb"));
        given
    }

    /// How the guest is connected, and what reserves its ports.
    fn network(&self, app: &App) -> Result<(Network, Reserved)> {
        if let Some(interface) = &self.tap {
            network::ensure_interface(interface)?;
            return Ok((Network::Tap(interface.clone()), Reserved::default()));
        }
        let wanted = network::with_declared(&self.ports, &declared(&app.metadata)?);
        ports::ensure_different(&wanted)?;
        let mut forwards = wanted.clone();
        let reserved = choose_host_ports(&mut forwards)?;
        ports::check(&wanted, &forwards)?;
        Ok((Network::User(forwards), reserved))
    }

    /// Everything about the guest, and what reserves its ports.
    fn guest(&self, app: &App, image: &Image) -> Result<(Guest, [Reserved; 2])> {
        let (network, served) = self.network(app)?;
        let (gdb, debugged) = self.gdb.then(ports::for_debugger).transpose()?.unzip();
        let guest = Guest {
            arch: self.arch,
            image: image.path.clone(),
            hardware: self.hardware.clone(),
            network,
            arguments: self.arguments.clone(),
            gdb,
            extra: Vec::new(),
        };
        Ok((guest, [served, debugged.unwrap_or_default()]))
    }
}

/// Where an app is to be reached by HTTP.
fn urls(app: &App, network: &Network, boot_arguments: &[String]) -> Result<Vec<SocketAddrV4>> {
    Ok(match network {
        Network::Tap(_) => tap::urls(boot_arguments, &declared(&app.metadata)?),
        other => other.urls(),
    })
}

/// Says which ports lead to the guest, except those with a URL: it is printed when they answer.
fn announce_ports(forwards: &[Forward]) {
    for forward in forwards.iter().filter(|forward| forward.protocol != Protocol::Http) {
        ui::progress("Forwarding", forward);
    }
}

/// Says so, and gives the exit status.
fn timed_out() -> u8 {
    ui::warning("the guest was ended because its time was up");
    TIMED_OUT
}

/// The exit status of xtask after a guest has ended.
fn exit_status(arch: Arch, end: End, complained: bool) -> Result<u8> {
    match end {
        End::Interrupted => Ok(INTERRUPTED),
        End::TimedOut => Ok(timed_out()),
        End::Exited(status) => match status.code() {
            Some(code) => match guest_status(arch, code, complained) {
                Some(status) => Ok(status),
                None => bail!("QEMU failed with status {code}; its message is above"),
            },
            None => bail!("QEMU was ended by a signal ({status})"),
        },
    }
}
