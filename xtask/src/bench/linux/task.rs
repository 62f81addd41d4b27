//! What both guests are asked to do.

use std::process::Command;

use anyhow::{Context, Result};

use super::client;
use crate::paths;
use crate::run::Protocol;
use crate::test::TestGuest;

/// Something that is done for a while, and counted.
pub struct Task {
    /// What it is.
    pub name: &'static str,
    /// What is counted.
    pub unit: &'static str,
    /// The app that does it.
    pub app: &'static str,
    client: Client,
}

/// What asks.
enum Client {
    /// wrk, with so many connections.
    Wrk(&'static str),
    /// Our own, which sends to port 9 or receives from port 19.
    Bulk { way: &'static str, port: u16 },
}

/// All tasks.
pub const TASKS: [Task; 4] = [
    Task { name: "HTTP, 1 connection", unit: "requests/s", app: "http", client: Client::Wrk("1") },
    Task {
        name: "HTTP, 16 connections",
        unit: "requests/s",
        app: "http",
        client: Client::Wrk("16"),
    },
    Task {
        name: "TCP to the guest",
        unit: "bytes/s",
        app: "tests/bulk",
        client: Client::Bulk { way: "send", port: 9 },
    },
    Task {
        name: "TCP from the guest",
        unit: "bytes/s",
        app: "tests/bulk",
        client: Client::Bulk { way: "receive", port: 19 },
    },
];

impl Task {
    /// Does it for so many seconds; gives the units in one.
    pub fn rate(&self, guest: &TestGuest, seconds: u64) -> Result<f64> {
        match self.client {
            Client::Wrk(connections) => {
                let (address, port) = guest.address(80, Protocol::Http)?;
                let mut wrk = Command::new("wrk");
                wrk.args(["--threads", "1", "--connections", connections]);
                wrk.args(["--duration", &format!("{seconds}s")]);
                wrk.arg(format!("http://{address}:{port}/style.css"));
                requests_per_second(&client(guest, &wrk)?)
            }
            Client::Bulk { way, port } => {
                let (address, port) = guest.address(port, Protocol::Tcp)?;
                let mut bulk = Command::new(paths::this_program()?);
                bulk.args(["bench", "bulk", way, &format!("{address}:{port}")]);
                let rate = client(guest, bulk.arg(seconds.to_string()))?;
                rate.trim().parse().with_context(|| format!("`{rate}` is no number"))
            }
        }
    }
}

/// What wrk has measured, if all answers were good ones.
fn requests_per_second(report: &str) -> Result<f64> {
    for bad in ["Socket errors", "Non-2xx"] {
        if let Some(line) = report.lines().find(|line| line.contains(bad)) {
            anyhow::bail!("{}", line.trim());
        }
    }
    report
        .lines()
        .find_map(|line| line.strip_prefix("Requests/sec:")?.trim().parse().ok())
        .with_context(|| format!("wrk tells no rate: {report}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_without_errors_are_read() {
        let good = "  9 requests in 1s\nRequests/sec:   1234.56\nTransfer/sec: 1MB\n";
        assert!((requests_per_second(good).unwrap() - 1234.56).abs() < 1e-9);
        assert!(requests_per_second("nothing").is_err());
        let bad = format!("  Socket errors: connect 1, read 0, write 0, timeout 0\n{good}");
        assert!(requests_per_second(&bad).is_err());
    }
}
