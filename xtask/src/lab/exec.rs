//! `lab exec`: one command of dom0's.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Result;
use clap::Args;

use super::{Hardware, Lab, Session, session, shell};
use crate::{setup, tools, ui};

/// What dom0 does.
#[derive(Args)]
pub struct Exec {
    /// A command of dom0's shell.
    command: String,
    /// Puts FILE into dom0, where the command is run, and may run it; may be repeated.
    #[arg(long = "file", value_name = "FILE")]
    files: Vec<PathBuf>,
    /// How long the command may take.
    #[arg(long, value_name = "SECONDS", default_value_t = session::PATIENCE.as_secs())]
    timeout: u64,
    #[command(flatten)]
    hardware: Hardware,
}

impl Exec {
    /// Boots, runs it, and gives its exit status.
    ///
    /// # Errors
    /// If it cannot be run, or does not end in time.
    pub fn execute(&self) -> Result<u8> {
        let files = shell::read(&self.files)?;
        setup::programs(&[self.hardware.arch.arch().qemu()])?;
        let lab = Lab::prepare(self.hardware.arch)?;
        ui::progress("Booting", format_args!("Xen and dom0 on {}", self.hardware.arch.arch()));
        let mut session = Session::start(&lab, &self.hardware)?;
        for (name, content) in &files {
            let name = tools::quote(name);
            session.send(&name, content)?;
            session.succeed(&format!("chmod +x {name}"))?;
        }
        session.patience = Duration::from_secs(self.timeout);
        let output = session.run(&self.command)?;
        print!("{}", output.text());
        Ok(u8::try_from(output.status).unwrap_or(1))
    }
}
