//! The commands that people type, as they type them: this program in a process of its own
//! ([`typed`]), what it prints, and how it ends.
//!
//! They choose for themselves how images are built, and mostly for which architecture: what an image
//! does on the others is tested with the guests. Those for Xen are with the lab.

use anyhow::Result;

use super::case::Case;
use crate::arch::Arch;

mod build;
mod debugger;
mod elsewhere;
mod missing;
mod mistakes;
mod new;
mod reports;
pub mod run;
pub mod site;
pub mod typed;
mod unread;

/// The programs that the tests use.
pub const PROGRAMS: [&str; 3] = ["curl", "gcc", "passt"];

/// What the example hello prints.
pub const GREETING: &str = "Hello from Mayfly.";

/// The tests of an architecture. Those in a group are run one after the other: each builds the image
/// anew that it is about, and for some of them the debug information has to be that of the same build.
pub fn groups(arch: Arch) -> Vec<Vec<Case>> {
    let name = |what: &str| format!("commands/{what}/{arch}");
    let debug = Case::counting(name("run/gdb"), move || debugger::stops_in_main(arch));
    if arch != Arch::X86_64 {
        return vec![vec![debug]];
    }
    let case = |what, work: fn() -> Result<()>| Case::new(name(what), move || Ok(work()?));
    let mut hello = vec![
        case("run/hello", run::greets),
        debug,
        case("size", build::tells_sizes),
        case("bench-boot", build::counts_instructions),
        case("missing", missing::is_installed),
        case("missing-target", missing::target_is_installed),
    ];
    hello.extend(mistakes::MISTAKES.iter().map(|mistake| {
        Case::new(name(&format!("mistakes/{}", mistake.name)), || Ok(mistake.is_explained()?))
    }));
    let http = vec![
        case("run/http", run::serves),
        case("run/port", || run::serves_at_port(&[])),
        case("run/timeout", run::times_out),
        case("run/jitsu-guest", run::serves_at_once),
        case("run/unix", run::serves_as_process),
        Case::counting(name("run/tap"), run::serves_on_tap),
        Case::counting(name("run/unix-on-tap"), run::process_takes_tap),
        case("describe", build::describes_images),
    ];
    let others = vec![
        case("run/disk", || run::keeps_data(&[])),
        case("run/disk-unix", || run::keeps_data(&["--on", "unix"])),
        case("reports", reports::are_symbolized),
        case("build", build::prints_paths),
        case("unread", unread::ends_without_complaint),
    ];
    // Those that take longest come first.
    let long = |what, work| vec![case(what, work)];
    vec![
        long("new", new::guide),
        long("elsewhere", elsewhere::builds_the_same),
        hello,
        http,
        others,
    ]
}
