//! passt, the network of a Linux process that has no TAP interface.

use std::path::Path;
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result};

use super::network::{Forward, Network};
use crate::temporary::TemporaryFile;
use crate::{setup, tools};

/// The user `nobody`, by number: the kernel's default for users that have no other (highuid.h of
/// Linux, `DEFAULT_OVERFLOWUID`).
const NOBODY: u32 = 65534;

/// A running passt. It translates between the frames of the app and sockets of its own, so it needs
/// no privilege.
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

    /// The socket on which it waits for the process.
    pub fn socket(&self) -> &Path {
        self.socket.path()
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passt_forwards_each_port_by_its_protocol() {
        let forwards = ["8080:80/http".parse().unwrap(), "8007:7/udp".parse().unwrap()];
        let line = passt_arguments(&forwards).join(" ");
        assert!(line.ends_with("--tcp-ports 127.0.0.1/8080:80 --udp-ports 127.0.0.1/8007:7"));
    }
}
