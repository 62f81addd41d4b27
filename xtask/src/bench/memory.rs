//! `bench memory`: the smallest memory with which an example still serves.

use std::time::Duration;

use anyhow::Result;
use clap::Args;

use super::live;
use super::table::{self, Figure};
use crate::app::App;
use crate::arch::ArchChoice;
use crate::build::Image;
use crate::run::{Hardware, Network, Protocol, answers, declared};
use crate::test::TestGuest;
use crate::ui;

/// Sizes to be tried, in MiB, from the largest down.
const SIZES: [u64; 9] = [64, 32, 16, 8, 6, 4, 3, 2, 1];

/// How long a guest may take to answer. A memory that is too small shows at once.
const PATIENCE: Duration = Duration::from_secs(10);

/// Finds the smallest memory with which http and echo still serve.
#[derive(Args)]
#[command(after_help = "Examples:
  cargo xtask bench memory
  cargo xtask bench memory --arch aarch64 --json")]
pub struct Options {
    /// Architectures to measure.
    #[arg(long, value_enum, default_value = "all")]
    arch: ArchChoice,
    /// Prints JSON.
    #[arg(long)]
    json: bool,
}

impl Options {
    /// Measures, and prints.
    pub fn execute(&self) -> Result<()> {
        let mut figures = Vec::new();
        for &arch in self.arch.list() {
            for name in ["http", "echo"] {
                let (app, image) = live::image(name, arch)?;
                ui::progress("Starting", format_args!("{name} for {arch} with less and less"));
                let mut value = None;
                for size in SIZES {
                    if !serves(&app, &image, size)? {
                        break;
                    }
                    value = Some(size);
                }
                figures.push(Figure { name, arch, value, unit: "MiB" });
            }
        }
        table::print(&figures, self.json);
        Ok(())
    }
}

/// Whether an app serves with so many MiB.
fn serves(app: &App, image: &Image, size: u64) -> Result<bool> {
    let hardware = Hardware { memory: format!("{size}M"), ..Hardware::default() };
    let network = Network::User(declared(&app.metadata)?);
    let mut guest = TestGuest::start(image, hardware, network, &[])?;
    let answered = match guest.port(80, Protocol::Http) {
        Ok(port) => guest.until("answer", PATIENCE, |_| answers(port).then_some(())),
        Err(_) => {
            let port = guest.port(7, Protocol::Tcp)?;
            guest.until("echo", PATIENCE, |_| echoes(port).then_some(()))
        }
    };
    Ok(answered.is_ok())
}

/// Whether what is sent to a TCP port comes back.
fn echoes(port: u16) -> bool {
    use std::io::{Read, Write};
    let attempt = || -> std::io::Result<bool> {
        let mut stream = std::net::TcpStream::connect(("127.0.0.1", port))?;
        stream.set_read_timeout(Some(Duration::from_millis(500)))?;
        stream.write_all(b"hello")?;
        let mut answer = [0; 5];
        stream.read_exact(&mut answer)?;
        Ok(&answer == b"hello")
    };
    attempt().unwrap_or(false)
}
