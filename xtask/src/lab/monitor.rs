//! QEMU's monitor: the QEMU Machine Protocol (docs/interop/qmp-spec.txt in QEMU).

use std::io::{BufRead, BufReader, ErrorKind, Write};
use std::os::unix::net::UnixStream;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};

use crate::run::interrupted;

/// How long QEMU may take to answer, and to move the state of its machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// How often is asked how far it is.
const INTERVAL: Duration = Duration::from_millis(5);

/// A connection to the monitor of a running QEMU.
pub struct Monitor(BufReader<UnixStream>);

impl Monitor {
    /// Makes one of a connected socket, which is to time out now and then.
    ///
    /// # Errors
    /// If QEMU does not answer.
    pub fn new(socket: UnixStream) -> Result<Self> {
        let mut monitor = Self(BufReader::new(socket));
        // Its greeting.
        monitor.line()?;
        monitor.execute("qmp_capabilities", json!({}))?;
        Ok(monitor)
    }

    /// Has QEMU do something; gives what it answers.
    ///
    /// # Errors
    /// If QEMU fails, or does not answer.
    pub fn execute(&mut self, command: &str, arguments: Value) -> Result<Value> {
        let request = json!({ "execute": command, "arguments": arguments });
        writeln!(self.0.get_mut(), "{request}")?;
        loop {
            let mut answer: Value = serde_json::from_str(&self.line()?)?;
            // Anything else is an event.
            if let Some(value) = answer.get_mut("return") {
                return Ok(value.take());
            }
            if let Some(error) = answer.get("error") {
                bail!("QEMU's `{command}` failed: {error}");
            }
        }
    }

    fn line(&mut self) -> Result<String> {
        let (start, mut line) = (Instant::now(), Vec::new());
        loop {
            ensure!(!interrupted(), "interrupted");
            ensure!(start.elapsed() < PATIENCE, "QEMU does not answer");
            match self.0.read_until(b'\n', &mut line) {
                Ok(_) if line.ends_with(b"\n") => break,
                Ok(_) => bail!("QEMU has ended"),
                // What has been read of the line stays there.
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(error) => return Err(error.into()),
            }
        }
        String::from_utf8(line).context("QEMU's answer is no text")
    }

    /// Writes the state of the machine to a file of QEMU's directory, whose name needs no quotation
    /// marks. The machine goes on afterwards.
    ///
    /// # Errors
    /// If that fails.
    pub fn save(&mut self, file: &str) -> Result<()> {
        self.execute("stop", json!({}))?;
        // As fast as possible: nothing else is going on.
        self.execute("migrate-set-parameters", json!({ "max-bandwidth": 1_u64 << 40 }))?;
        let uri = json!({ "uri": format!("exec:cat >{file}") });
        let moved = self.execute("migrate", uri).and_then(|_| self.moved());
        self.execute("cont", json!({}))?;
        moved
    }

    /// Reads the state of the machine from such a file, when the sockets of all `ports` have somebody
    /// at their other end, as they had when it was written. Then the machine goes on.
    ///
    /// # Errors
    /// If that fails.
    pub fn restore(&mut self, file: &str, ports: &[&str]) -> Result<()> {
        self.until(|monitor| {
            let devices = monitor.execute("query-chardev", json!({}))?;
            let is_connected = |port: &&str| is_connected(&devices, port);
            Ok(ports.iter().all(is_connected))
        })?;
        self.execute("migrate-incoming", json!({ "uri": format!("exec:cat {file}") }))?;
        self.moved()?;
        self.execute("cont", json!({})).map(|_| ())
    }

    /// Waits until the state has been moved.
    fn moved(&mut self) -> Result<()> {
        self.until(|monitor| {
            let status = monitor.execute("query-migrate", json!({}))?;
            match status.get("status").and_then(Value::as_str) {
                Some("completed") => Ok(true),
                Some("failed" | "cancelled") => bail!("the state cannot be moved: {status}"),
                _ => Ok(false),
            }
        })
    }

    fn until(&mut self, is_over: impl Fn(&mut Self) -> Result<bool>) -> Result<()> {
        let start = Instant::now();
        while !is_over(self)? {
            ensure!(start.elapsed() < PATIENCE, "QEMU takes too long");
            sleep(INTERVAL);
        }
        Ok(())
    }
}

/// Whether the socket of a character device is connected, in what `query-chardev` answers.
fn is_connected(devices: &Value, label: &str) -> bool {
    let Some(devices) = devices.as_array() else { return false };
    devices.iter().any(|device| {
        let text = |name| device.get(name).and_then(Value::as_str);
        text("label") == Some(label)
            && text("filename").is_some_and(|name| !name.starts_with("disconnected"))
    })
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    #[test]
    fn what_is_no_answer_is_passed_over() {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let qemu = thread::spawn(move || {
            let mut lines = BufReader::new(theirs.try_clone().unwrap()).lines();
            let say = |text: &str| writeln!(&theirs, "{text}").unwrap();
            say("{\"QMP\": {}}");
            assert!(lines.next().unwrap().unwrap().contains("qmp_capabilities"));
            say("{\"return\": {}}");
            assert!(lines.next().unwrap().unwrap().contains("\"stop\""));
            say("{\"event\": \"STOP\"}");
            say("{\"return\": 7}");
            lines.next();
            say("{\"error\": {\"desc\": \"no\"}}");
        });
        let mut monitor = Monitor::new(ours).unwrap();
        assert_eq!(monitor.execute("stop", json!({})).unwrap(), json!(7));
        assert!(monitor.execute("cont", json!({})).unwrap_err().to_string().contains("no"));
        qemu.join().unwrap();
    }

    #[test]
    fn sockets_are_connected_or_not() {
        let devices = json!([
            { "label": "a", "filename": "disconnected:unix:/x,server=on" },
            { "label": "b", "filename": "unix:/y,server=on" },
        ]);
        assert!(!is_connected(&devices, "a") && is_connected(&devices, "b"));
        assert!(!is_connected(&devices, "c") && !is_connected(&json!({}), "b"));
    }
}
