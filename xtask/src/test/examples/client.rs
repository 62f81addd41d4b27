//! The programs that use the examples.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

use crate::run::Protocol;
use crate::test::guest::TestGuest;
use crate::tools;

/// Seconds that a guest may take to answer for the first time.
const BOOT: Duration = Duration::from_secs(60);

/// Waits until the guest serves HTTP; gives the start of its URLs, without a slash at the end.
pub fn http_url(guest: &mut TestGuest) -> Result<String> {
    let (address, port) = guest.address(80, Protocol::Http)?;
    let url = format!("http://{address}:{port}");
    let mut curl = Command::new("curl");
    curl.args(["--silent", "--max-time", "1", "--head", &url]);
    let mut curl = guest.client(&curl);
    curl.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    guest.until("answer to an HTTP request", BOOT, |_| {
        curl.status().is_ok_and(|status| status.success()).then_some(())
    })?;
    Ok(url)
}

/// curl, which gives up after half a minute.
pub fn curl(guest: &TestGuest, arguments: &[&str]) -> Result<Vec<u8>> {
    let mut command = Command::new("curl");
    command.args(["--silent", "--show-error", "--max-time", "30"]).args(arguments);
    Ok(run(&mut guest.client(&command), &[])?.stdout)
}

/// What curl prints, as text.
pub fn curl_text(guest: &TestGuest, arguments: &[&str]) -> Result<String> {
    Ok(String::from_utf8_lossy(&curl(guest, arguments)?).into_owned())
}

/// Runs a program with `input`, which must succeed.
pub fn run(command: &mut Command, input: &[u8]) -> Result<Output> {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().with_context(|| tools::cannot_start(command))?;
    let mut stdin = child.stdin.take().context("a program has an input")?;
    let output = std::thread::scope(|scope| {
        // Beside reading: both pipes may fill. That a program stops reading is its business.
        scope.spawn(move || stdin.write_all(input).ok());
        child.wait_with_output()
    })?;
    if !output.status.success() {
        let message = String::from_utf8_lossy(&output.stderr);
        // Before its errors, curl shows its progress, whatever it is told.
        let error = message.lines().find(|line| line.starts_with("curl:"));
        let message = error.or_else(|| message.lines().last()).unwrap_or("it said nothing");
        bail!("`{}` failed ({}): {}", tools::describe(command), output.status, message);
    }
    Ok(output)
}

/// Compares what was received with a file, by content.
pub fn same_as_file(received: &[u8], file: &Path) -> Result<()> {
    let sent = std::fs::read(file).with_context(|| format!("cannot read {}", file.display()))?;
    let first = received.iter().zip(&sent).position(|(a, b)| a != b);
    ensure!(
        received == sent,
        "{} arrived damaged: {} of {} bytes, the first wrong one at {}",
        file.display(),
        received.len(),
        sent.len(),
        first.unwrap_or(received.len().min(sent.len()))
    );
    Ok(())
}
