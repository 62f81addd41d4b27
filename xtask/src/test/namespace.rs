//! A network of its own for a guest and its clients: a TAP interface in a network namespace.
//!
//! QEMU's user-mode network and passt need no such thing, but they queue few connections, so that a
//! burst of them says more about them than about the guest.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use crate::{setup, tools};

/// The TAP interface.
pub const INTERFACE: &str = "tap0";
/// Our address on it.
const OUR_ADDRESS: &str = "10.77.0.1/24";
/// The guest's address.
pub const GUEST_ADDRESS: &str = "10.77.0.2";
/// An address on this network that nobody has.
pub const UNUSED_ADDRESS: &str = "10.77.0.9";
/// The boot argument that gives the guest its address.
pub const BOOT_ARGUMENT: &str = "ip=10.77.0.2/24";

/// How long a namespace may take to be there.
const PATIENCE: Duration = Duration::from_secs(10);

/// The device that TAP interfaces are made with.
const TUN: &str = "/dev/net/tun";

/// A network namespace with a TAP interface. It goes when this is dropped.
pub struct Namespace {
    /// A process that does nothing but to be in the namespace.
    holder: Child,
    /// Whether the namespace belongs to a user namespace, in which we are root.
    with_user: bool,
}

impl Namespace {
    /// Whether this machine lets us make one.
    ///
    /// # Errors
    /// If we are neither root nor allowed to make user namespaces, or it has no TAP interfaces.
    pub fn permitted() -> Result<()> {
        setup::programs(&["ip", "unshare"])?;
        ensure!(Path::new(TUN).exists(), "no TAP interface can be made here; there is no {TUN}");
        tools::run(unshare(&["true"]).stderr(Stdio::null()))
            .context("no network namespace can be made here; it takes root or user namespaces")
    }

    /// Makes one.
    ///
    /// # Errors
    /// If it is not [permitted](Self::permitted), or a program fails.
    pub fn new() -> Result<Self> {
        setup::programs(&["ip", "unshare"])?;
        let mut command = tools::dying_with_us(unshare(&["sleep", "infinity"]));
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let holder = command.spawn().with_context(|| tools::cannot_start(&command))?;
        let mut namespace = Self { holder, with_user: needs_user() };
        namespace.wait()?;
        namespace.ip("link set lo up")?;
        namespace.add_interface(INTERFACE, OUR_ADDRESS)?;
        Ok(namespace)
    }

    /// Adds a TAP interface on which we have this address.
    ///
    /// # Errors
    /// If there is one of this name, or it cannot be made.
    pub fn add_interface(&self, interface: &str, address: &str) -> Result<()> {
        self.ip(&format!("tuntap add {interface} mode tap"))?;
        // A host that lets QEMU wait is not to drop frames for that.
        self.ip(&format!("link set {interface} txqueuelen 10000"))?;
        self.ip(&format!("address add {address} dev {interface}"))?;
        self.ip(&format!("link set {interface} up"))
    }

    /// Runs `ip` with the words of a line.
    ///
    /// # Errors
    /// If it fails.
    pub fn ip(&self, line: &str) -> Result<()> {
        let mut ip = Command::new("ip");
        ip.args(line.split(' '));
        tools::run(self.inside(&ip).stderr(Stdio::null()))
            .with_context(|| format!("`ip {line}` in a network namespace"))
    }

    /// Waits until the holder has left our namespace.
    fn wait(&mut self) -> Result<()> {
        let of = |process: &str| std::fs::read_link(format!("/proc/{process}/ns/net")).ok();
        let ours = of("self");
        let holder = self.holder.id().to_string();
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline && self.holder.try_wait()?.is_none() {
            if of(&holder).is_some_and(|namespace| Some(namespace) != ours) {
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        bail!("no network namespace came to be within {PATIENCE:?}")
    }

    /// The same command, to be run inside.
    pub fn inside(&self, command: &Command) -> Command {
        let mut inside = Command::new("nsenter");
        inside.arg("--target").arg(self.holder.id().to_string()).arg("--net");
        if self.with_user {
            inside.args(["--user", "--preserve-credentials"]);
        }
        inside.arg("--");
        tools::wrapped(inside, command)
    }
}

/// Whether it takes a user namespace, in which we are root.
fn needs_user() -> bool {
    !setup::is_root()
}

/// The command that runs another one in a network namespace of its own.
fn unshare(inner: &[&str]) -> Command {
    let mut command = Command::new("unshare");
    if needs_user() {
        command.args(["--user", "--map-root-user"]);
    }
    command.arg("--net").args(inner);
    command
}

impl Drop for Namespace {
    fn drop(&mut self) {
        self.holder.kill().ok();
        self.holder.wait().ok();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_namespace_has_its_own_interfaces() {
        if let Err(error) = Namespace::permitted() {
            eprintln!("not tested: {error:#}");
            return;
        }
        let namespace = Namespace::new().unwrap();
        let mut ip = Command::new("ip");
        ip.args(["-brief", "address"]);
        let inside = tools::output(&mut namespace.inside(&ip)).unwrap();
        assert!(inside.contains(INTERFACE) && inside.contains(OUR_ADDRESS));
        assert!(!tools::output(&mut ip).unwrap().contains(OUR_ADDRESS));
    }
}
