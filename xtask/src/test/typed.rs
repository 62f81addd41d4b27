//! Guests at whose console somebody types.

use std::io::Write;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};

use super::guest::TestGuest;
use crate::arch::Arch;
use crate::build::Image;
use crate::run::{Hardware, Network};
use crate::temporary::TemporaryDirectory;

/// What the guest asks, and what is typed then: a line with a mistake that is corrected.
const QUESTION: &str = "Who is there?";
const ANSWER: &[u8] = b"Mayflx\x7fy\r";
const PATIENCE: Duration = Duration::from_secs(30);

/// The console at which somebody types.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Console {
    /// The serial port.
    Serial,
    /// One of virtio's, beside it.
    Virtio,
}

impl Console {
    /// By its name in a directive.
    pub fn named(name: &str) -> Option<Self> {
        match name {
            "serial" => Some(Self::Serial),
            "virtio" => Some(Self::Virtio),
            _ => None,
        }
    }

    /// Starts a guest with more arguments for QEMU, and types when it asks.
    ///
    /// # Errors
    /// If it cannot be started, or does not ask.
    pub fn start(
        self,
        image: &Image,
        hardware: Hardware,
        network: Network,
        arguments: &[String],
        mut extra: Vec<String>,
    ) -> Result<TestGuest> {
        match self {
            Self::Serial => {
                let (mut guest, mut keyboard) =
                    TestGuest::start_with_keyboard(image, hardware, network, arguments, extra)?;
                guest.until("question", PATIENCE, asked)?;
                keyboard.write_all(ANSWER)?;
                Ok(guest)
            }
            Self::Virtio => {
                let place = TemporaryDirectory::new()?;
                let socket = place.path().join("console");
                extra.extend(virtio(&hardware, image.arch, &socket)?);
                let mut guest = TestGuest::start_with(image, hardware, network, arguments, extra)?;
                guest.until("question", PATIENCE, asked)?;
                let mut keyboard = UnixStream::connect(&socket).context("the console's socket")?;
                keyboard.write_all(ANSWER)?;
                Ok(guest)
            }
        }
    }
}

fn asked(console: &str) -> Option<()> {
    console.contains(QUESTION).then_some(())
}

/// What gives QEMU a console of virtio whose other end is a socket.
fn virtio(hardware: &Hardware, arch: Arch, socket: &Path) -> Result<Vec<String>> {
    let bus = format!("virtio-serial-{}", hardware.machine_for(arch)?.transport());
    // A comma ends a value on QEMU's command line, two are one comma.
    let path = socket.display().to_string().replace(',', ",,");
    let end = format!("socket,id=typed,path={path},server=on,wait=off");
    let words = ["-device", &bus, "-chardev", &end, "-device", "virtconsole,chardev=typed"];
    Ok(words.map(str::to_owned).to_vec())
}
