//! An app as a Linux process: what its devices are, and the helper for its network.

use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, ensure};

use super::machine::Hardware;
use super::network::{Forward, Network};
use crate::temporary::TemporaryFile;
use crate::{setup, tools};

/// The user `nobody`, by number: the kernel's default for users that have no other (highuid.h of
/// Linux, `DEFAULT_OVERFLOWUID`).
const NOBODY: u32 = 65534;

/// A running passt: the network of a process that has no TAP interface. It translates between the
/// frames of the app and sockets of its own, so it needs no privilege.
pub struct Passt {
    child: Child,
    socket: TemporaryFile,
}

impl Passt {
    /// Starts one if the network needs it.
    pub fn for_network(network: &Network) -> Result<Option<Self>> {
        let Network::User(forwards) = network else { return Ok(None) };
        setup::programs(&["passt"])?;
        let socket = TemporaryFile::new("passt")?;
        let mut command = Command::new("passt");
        command.args(passt_arguments(forwards)).arg("--socket").arg(socket.path());
        // It does not stay root, and then could not get at its socket. In a user namespace there
        // may be no other user: there, it stays who it is.
        if setup::is_root() && socket.give_to(NOBODY) {
            command.arg("--runas").arg(NOBODY.to_string());
        }
        let mut command = tools::dying_with_us(command);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let child = command.spawn().with_context(|| tools::cannot_start(&command))?;
        Ok(Some(Self { child, socket }))
    }
}

impl Drop for Passt {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// passt's arguments: frames of Ethernet's usual size, these ports.
fn passt_arguments(forwards: &[Forward]) -> Vec<String> {
    let mut arguments: Vec<String> = ["--foreground", "--mtu", "1500"].map(str::to_owned).into();
    for transport in ["tcp", "udp"] {
        for Forward { host, guest, protocol } in forwards {
            if protocol.transport() == transport {
                arguments.push(format!("--{transport}-ports"));
                arguments.push(format!("127.0.0.1/{host}:{guest}"));
            }
        }
    }
    arguments
}

/// Fails if there are `options` that mean nothing to a process: better than to pass them over.
pub fn refuse(options: &[&str]) -> Result<()> {
    ensure!(
        options.is_empty(),
        "a Linux process has no {0}; leave {0} out, or leave out `--on unix`{1}",
        options.join(", "),
        if options.contains(&"--gdb") {
            "; `gdb --args` takes the line that `run` prints"
        } else {
            ""
        }
    );
    Ok(())
}

/// The arguments that give the process its devices; `--mayfly-help` of any app lists them.
pub fn arguments(
    hardware: &Hardware,
    network: &Network,
    passt: Option<&Passt>,
) -> Result<Vec<String>> {
    let mut arguments = Vec::new();
    if let Network::Tap(interface) = network {
        arguments.push(format!("--mayfly-net=tap:{interface}"));
    }
    if let Some(passt) = passt {
        arguments.push(format!("--mayfly-net=passt:{}", passt.socket.path().display()));
    }
    for disk in &hardware.disks {
        ensure!(
            disk.exists(),
            "there is no disk {}; `truncate -s 16M {0}` makes an empty one of 16 MiB",
            disk.display()
        );
        arguments.push(format!("--mayfly-disk={}", disk.display()));
    }
    arguments.push(format!("--mayfly-memory={}", mebibytes(&hardware.memory)?));
    Ok(arguments)
}

/// A size as QEMU takes it, in MiB: that is its unit if none is given.
fn mebibytes(size: &str) -> Result<u32> {
    let (digits, factor) = match size.strip_suffix(['G', 'g']) {
        Some(digits) => (digits, 1024),
        None => (size.trim_end_matches(['M', 'm']), 1),
    };
    let number: u32 = digits
        .parse()
        .with_context(|| format!("`--memory {size}` is no size: a number and M or G"))?;
    number.checked_mul(factor).context("that is more memory than there can be")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passt_forwards_each_port_by_its_protocol() {
        let forwards = ["8080:80/http".parse().unwrap(), "8007:7/udp".parse().unwrap()];
        let line = passt_arguments(&forwards).join(" ");
        assert!(line.ends_with("--tcp-ports 127.0.0.1/8080:80 --udp-ports 127.0.0.1/8007:7"));
    }

    #[test]
    fn sizes_are_in_mebibytes() {
        assert_eq!(mebibytes("64M").unwrap(), 64);
        assert_eq!(mebibytes("64").unwrap(), 64);
        assert_eq!(mebibytes("2G").unwrap(), 2048);
        assert!(mebibytes("64K").is_err() && mebibytes("9999999G").is_err());
    }

    #[test]
    fn options_without_a_meaning_are_refused() {
        let hardware = Hardware { smp: 2, cpu: Some("max".into()), ..Hardware::default() };
        assert_eq!(hardware.of_machines(), ["--cpu", "--smp"]);
        let error = refuse(&hardware.of_machines()).unwrap_err().to_string();
        assert!(error.starts_with("a Linux process has no --cpu, --smp; leave"));
        assert!(refuse(&["--gdb"]).unwrap_err().to_string().contains("gdb --args"));
        refuse(&Hardware::default().of_machines()).unwrap();
    }

    #[test]
    fn a_process_gets_its_devices_by_arguments() {
        let network = Network::Tap("tap0".into());
        let arguments = arguments(&Hardware::default(), &network, None).unwrap();
        assert_eq!(arguments, ["--mayfly-net=tap:tap0", "--mayfly-memory=64"]);
    }
}
