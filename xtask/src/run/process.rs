//! A guest as a process: starting it, passing on what it prints, ending it.

use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use crate::tools;

/// How often a running guest is looked at.
const INTERVAL: Duration = Duration::from_millis(10);

/// How long a process may take to end after it was asked to.
const PATIENCE: Duration = Duration::from_secs(3);

/// Why a guest is no longer running.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// It ended by itself.
    Exited(ExitStatus),
    /// Someone pressed Ctrl-C or ended xtask.
    Interrupted,
    /// It had run for too long.
    TimedOut,
}

/// A running guest. It is ended when this is dropped.
pub struct Running {
    child: Child,
    console: Option<JoinHandle<()>>,
    errors: Option<JoinHandle<bool>>,
}

/// Takes what a guest prints.
pub trait Console: Send + 'static {
    /// Some bytes have arrived.
    fn bytes(&mut self, bytes: &[u8]);
    /// QEMU itself, not the guest, has printed a line.
    fn error(line: &str) {
        eprintln!("{line}");
    }
}

impl Running {
    /// Starts `command`, which hears what is typed here; what it prints goes to `console`.
    pub fn start<C: Console>(command: Command, console: C) -> Result<Self> {
        Self::start_with(command, Stdio::inherit(), console)
    }

    /// The same with another input.
    pub fn start_with<C: Console>(command: Command, keys: Stdio, mut console: C) -> Result<Self> {
        let mut command = tools::dying_with_us(command);
        command.stdin(keys);
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().with_context(|| tools::cannot_start(&command))?;
        let mut output = child.stdout.take().context("the guest has no output")?;
        let errors = child.stderr.take().context("the guest has no error output")?;
        let console = thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(length @ 1..) = output.read(&mut buffer) {
                console.bytes(&buffer[..length]);
            }
        });
        let errors = thread::spawn(move || pass_on_errors(errors, C::error));
        Ok(Self { child, console: Some(console), errors: Some(errors) })
    }

    /// Waits until the guest ends, and ends it itself after `timeout` or on Ctrl-C.
    pub fn wait(&mut self, timeout: Option<Duration>) -> Result<End> {
        let deadline = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
        loop {
            if let Some(status) = self.child.try_wait()? {
                return Ok(if interrupted() { End::Interrupted } else { End::Exited(status) });
            }
            if interrupted() {
                self.stop()?;
                return Ok(End::Interrupted);
            }
            if deadline.is_some_and(|deadline| Instant::now() >= deadline) {
                self.stop()?;
                return Ok(End::TimedOut);
            }
            thread::sleep(INTERVAL);
        }
    }

    /// Number of the process.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Whether the guest still runs.
    pub fn is_running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Waits until all that the guest has printed has gone to the console, once it has ended. Tells
    /// whether QEMU complained about something.
    pub fn drain(&mut self) -> bool {
        // The threads end when the pipes do, and those end with the process.
        self.console.take().map(JoinHandle::join);
        self.errors.take().and_then(|errors| errors.join().ok()).unwrap_or(false)
    }

    /// Ends the process, if it still runs: asks, and after a while insists.
    pub fn stop(&mut self) -> Result<()> {
        if !self.is_running() {
            return Ok(());
        }
        Command::new("sh").arg("-c").arg(format!("kill -TERM {}", self.child.id())).status().ok();
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            if self.child.try_wait()?.is_some() {
                return Ok(());
            }
            thread::sleep(INTERVAL);
        }
        self.child.kill().context("cannot end QEMU")?;
        self.child.wait()?;
        Ok(())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stop().ok();
    }
}

/// Passes QEMU's messages on, and tells whether one of them was an error.
fn pass_on_errors(errors: impl Read, mut show: impl FnMut(&str)) -> bool {
    let mut complained = false;
    for line in BufReader::new(errors).lines().map_while(Result::ok) {
        // What it says when it is ended by a signal is no news.
        if line.contains("terminating on signal") {
            continue;
        }
        complained |= line.starts_with("qemu-system") && !line.contains("warning:");
        show(&line);
    }
    complained
}

/// Whether someone has pressed Ctrl-C, or asked xtask to end. The first call makes xtask notice
/// that instead of ending at once.
pub fn interrupted() -> bool {
    static FLAG: OnceLock<Arc<AtomicBool>> = OnceLock::new();
    let flag = FLAG.get_or_init(|| {
        let flag = Arc::new(AtomicBool::new(false));
        for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM] {
            // If this fails, the signal ends xtask, which is the worse but safe way.
            signal_hook::flag::register(signal, Arc::clone(&flag)).ok();
        }
        flag
    });
    flag.load(Ordering::Relaxed)
}

/// A console that is shown as it is.
pub struct Plain;

impl Console for Plain {
    fn bytes(&mut self, bytes: &[u8]) {
        let mut out = std::io::stdout().lock();
        // A closed pipe is no reason to stop the guest.
        out.write_all(bytes).and_then(|()| out.flush()).ok();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    #[derive(Clone, Default)]
    struct Kept(Arc<Mutex<Vec<u8>>>);

    impl Console for Kept {
        fn bytes(&mut self, bytes: &[u8]) {
            self.0.lock().unwrap().extend_from_slice(bytes);
        }
    }

    fn shell(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command
    }

    #[test]
    fn output_and_exit_status_arrive() {
        let kept = Kept::default();
        let mut running = Running::start(shell("echo hello; exit 3"), kept.clone()).unwrap();
        let end = running.wait(None).unwrap();
        assert!(matches!(end, End::Exited(status) if status.code() == Some(3)));
        assert!(!running.drain());
        assert_eq!(*kept.0.lock().unwrap(), b"hello\n");
    }

    #[test]
    fn a_process_that_takes_too_long_is_ended() {
        let mut running = Running::start(shell("exec sleep 60"), Kept::default()).unwrap();
        let start = Instant::now();
        assert_eq!(running.wait(Some(Duration::from_millis(50))).unwrap(), End::TimedOut);
        assert!(start.elapsed() < PATIENCE);
    }

    #[test]
    fn complaints_of_qemu_are_noticed() {
        let messages = "qemu-system-arm: warning: x\nqemu-system-arm: terminating on signal 15\n";
        let mut shown = Vec::new();
        assert!(!pass_on_errors(messages.as_bytes(), |line| shown.push(line.to_owned())));
        assert_eq!(shown, ["qemu-system-arm: warning: x"]);
        assert!(pass_on_errors(&b"qemu-system-arm: no such file\n"[..], |_| ()));
    }
}
