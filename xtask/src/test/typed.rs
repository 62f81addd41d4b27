//! Guests at whose console somebody types.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use super::guest::TestGuest;
use crate::arch::Arch;
use crate::build::Image;
use crate::run::{Hardware, Network};
use crate::temporary::TemporaryDirectory;

/// What the guest asks, and what is typed then: a line with a mistake that is corrected.
const QUESTION: &str = "Who is there?";
const ANSWER: &[u8] = b"Mayflx\x7fy\r";
const PATIENCE: Duration = Duration::from_secs(30);

/// How much the guest prints of which one console is not read, and what it prints then.
const BLOCKS: usize = 60;
const LINES: usize = 30;
const ALL: &str = "all is shown";

/// The console at which somebody types.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Console {
    /// The serial port.
    Serial,
    /// One of virtio's, beside it.
    Virtio,
    /// One of virtio's, while the serial port is not read.
    Unread,
}

impl Console {
    /// By its name in a directive.
    pub fn named(name: &str) -> Option<Self> {
        match name {
            "serial" => Some(Self::Serial),
            "virtio" => Some(Self::Virtio),
            "unread" => Some(Self::Unread),
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
            Self::Virtio | Self::Unread => {
                let place = TemporaryDirectory::new()?;
                let socket = place.path().join("console");
                extra.extend(virtio(&hardware, image.arch, &socket)?);
                let mut guest = TestGuest::start_with(image, hardware, network, arguments, extra)?;
                guest.until("question", PATIENCE, asked)?;
                let mut keyboard = UnixStream::connect(&socket).context("the console's socket")?;
                if self == Self::Unread {
                    read_one_of_two(&guest, keyboard)?;
                } else {
                    keyboard.write_all(ANSWER)?;
                }
                Ok(guest)
            }
        }
    }
}

/// Reads all that a guest prints at one console, a block at a time, while nobody reads the other one.
fn read_one_of_two(guest: &TestGuest, console: UnixStream) -> Result<()> {
    let unread = guest.leave_unread();
    console.set_read_timeout(Some(PATIENCE))?;
    let mut keyboard = console.try_clone()?;
    let mut lines = BufReader::new(console).lines();
    let mut next = || lines.next().context("the console is closed")?.context("nothing is printed");
    keyboard.write_all(ANSWER)?;
    let mut line = next()?;
    // The question may be there too, and what is typed.
    while line.trim_end() != text(0, 0) {
        line = next()?;
    }
    for (block, number) in (0..BLOCKS).flat_map(|block| (0..LINES).map(move |line| (block, line))) {
        let expected = text(block, number);
        ensure!(line.trim_end() == expected, "instead of `{expected}` there is `{line}`");
        if number == LINES - 1 {
            keyboard.write_all(b"x")?;
        }
        line = next()?;
    }
    ensure!(line.contains(ALL), "there is more than was expected");
    drop(unread);
    keyboard.write_all(b"x")?;
    Ok(())
}

/// What the guest prints of which one console is not read.
fn text(block: usize, line: usize) -> String {
    format!("block {block}, line {line}: what nobody reads at the first console")
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
