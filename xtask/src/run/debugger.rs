//! How to attach gdb to a guest.

use crate::build::Image;
use crate::{paths, tools};

/// The command that starts gdb on a guest that waits at `port`.
pub fn command_line(image: &Image, port: u16) -> String {
    // Debian's plain gdb knows only the machine that it runs on.
    let foreign = image.arch.name() != std::env::consts::ARCH;
    let gdb = if foreign { "gdb-multiarch" } else { "gdb" };
    let commands = [
        format!("set substitute-path /mayfly {}", paths::repository().display()),
        format!("target remote 127.0.0.1:{port}"),
        // Not the entry point: there the image is not yet mapped where it was linked.
        "hbreak __mayfly_start".to_owned(),
        "continue".to_owned(),
    ];
    let commands = commands.iter().map(|command| format!(" -ex {}", tools::quote(command)));
    format!("{gdb} {}{}", image.elf.display(), commands.collect::<String>())
}
