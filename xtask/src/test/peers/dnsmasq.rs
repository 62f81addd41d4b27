//! dnsmasq, which gives out addresses and answers for names.

use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result};

use crate::test::namespace::{INTERFACE, Namespace};
use crate::tools;

/// dnsmasq in a namespace. It ends when this is dropped.
pub struct Dnsmasq(Child);

impl Dnsmasq {
    /// Starts it with more settings.
    ///
    /// # Errors
    /// If it cannot be started.
    pub fn start(namespace: &Namespace, settings: &[String]) -> Result<Self> {
        // It lies where the search path of users does not lead.
        let program = tools::find("dnsmasq").unwrap_or_else(|| "/usr/sbin/dnsmasq".into());
        let mut command = Command::new(program);
        // It reads no file of this machine, and writes none.
        command.args(["--no-daemon", "--conf-file=/dev/null", "--pid-file=", "--leasefile-ro"]);
        command.args(["--no-resolv", "--no-hosts", "--interface", INTERFACE, "--bind-interfaces"]);
        command.arg("--no-ping").args(settings);
        let mut command = tools::dying_with_us(namespace.inside(&command));
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        Ok(Self(command.spawn().with_context(|| tools::cannot_start(&command))?))
    }
}

impl Drop for Dnsmasq {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}
