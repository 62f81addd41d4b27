//! What is written to XenStore, by the programs that dom0 has for it. Paths and values are those
//! that Synjitsu has published.

use std::io;
use std::net::Ipv4Addr;
use std::process::{Command, Stdio};
use std::time::SystemTime;

use crate::frame::Segment;

/// Makes the tree, in which guests may write, too.
pub fn prepare() -> io::Result<()> {
    run("write", &["/ip".into(), String::new()])?;
    run("chmod", &["/ip".into(), "b0".into()])
}

/// Whether the guest with this address says that it is there.
pub fn is_managed(address: Ipv4Addr) -> io::Result<bool> {
    let path = format!("/ip/{}", dashed(address));
    let output = program("read", &[path]).stderr(Stdio::null()).output()?;
    Ok(output.stdout.trim_ascii() == b"managed")
}

/// Writes down a SYN, with the sequence number that the guest is to answer with, in one transaction.
pub fn record(segment: &Segment, own_sequence: u32) -> io::Result<()> {
    let (local, remote) = (segment.to, segment.from);
    let (lip, rip) = (dashed(*local.ip()), dashed(*remote.ip()));
    let path = format!("/ip/{lip}/{}/{rip}/{}/syn", local.port(), remote.port());
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let nodes = [
        ("tx_wnd", segment.window.to_string()),
        ("sequence", (segment.sequence as i32).to_string()),
        ("options", segment.options()),
        ("tx_isn", own_sequence.to_string()),
        ("rx_wnd", "65535".into()),
        ("rx_wnd_scaleoffer", "2".into()),
        // Not published: it gives the record an end.
        ("time", now.as_secs().to_string()),
    ];
    let pair = |(name, value)| [format!("{path}/{name}"), value];
    let arguments: Vec<String> = nodes.into_iter().flat_map(pair).collect();
    run("write", &arguments)
}

fn dashed(address: Ipv4Addr) -> String {
    address.to_string().replace('.', "-")
}

fn program(name: &str, arguments: &[String]) -> Command {
    let mut command = Command::new(format!("xenstore-{name}"));
    // A number may begin like an option.
    command.arg("--").args(arguments);
    command
}

fn run(name: &str, arguments: &[String]) -> io::Result<()> {
    let status = program(name, arguments).status()?;
    if status.success() {
        return Ok(());
    }
    Err(io::Error::other(format!("xenstore-{name} has failed: {status}")))
}
