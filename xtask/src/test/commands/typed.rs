//! A command line of ours in a process of its own, as when somebody types it.

use std::io::Read;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use crate::run::interrupted;
use crate::{paths, tools};

/// How long a command may take; it may compile an app, or boot the lab.
const PATIENCE: Duration = Duration::from_secs(300);

/// The exit status of what Ctrl-C has ended: 128 and the number of SIGINT, as shells have it.
pub const INTERRUPTED: i32 = 130;

/// A command that runs. It is ended when this is dropped.
pub struct Typed {
    child: Child,
    /// What it prints, as it does.
    output: Receiver<Vec<u8>>,
    /// What it has printed so far.
    all: Vec<u8>,
}

/// How a command has ended.
pub struct Ended {
    /// Its exit status.
    pub status: i32,
    /// All that it has printed.
    pub text: String,
}

impl Typed {
    /// Starts this program with `words` behind its name.
    ///
    /// # Errors
    /// If it cannot be started.
    pub fn new(words: &[&str]) -> Result<Self> {
        Self::start(xtask(words)?, Stdio::null())
    }

    /// Starts any command, which reads `input`.
    ///
    /// # Errors
    /// If it cannot be started.
    fn start(command: Command, input: Stdio) -> Result<Self> {
        let mut command = tools::dying_with_us(command);
        command.stdin(input).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().with_context(|| tools::cannot_start(&command))?;
        let (sender, output) = channel();
        let stdout = child.stdout.take().context("a command has an output")?;
        pass_on(stdout, sender.clone());
        let stderr = child.stderr.take().context("a command has an error output")?;
        pass_on(stderr, sender);
        Ok(Self { child, output, all: Vec::new() })
    }

    /// Waits until `look` finds something in what it has printed, or in how it has ended.
    ///
    /// # Errors
    /// If it has ended, or takes too long, and there is still no `what`.
    pub fn until<T>(
        &mut self,
        what: &str,
        mut look: impl FnMut(&str, Option<ExitStatus>) -> Option<T>,
    ) -> Result<T> {
        let start = Instant::now();
        loop {
            let ended = self.child.try_wait()?;
            // After its end, all of it is to be read.
            let patience = Duration::from_millis(if ended.is_some() { 5000 } else { 50 });
            while let Ok(part) = self.output.recv_timeout(patience) {
                self.all.extend(part);
                if ended.is_none() {
                    break;
                }
            }
            let text = String::from_utf8_lossy(&self.all);
            if let Some(found) = look(&text, ended) {
                return Ok(found);
            }
            let is_over = ended.is_some() || start.elapsed() > PATIENCE || interrupted();
            ensure!(!is_over, "no {what} ({ended:?}); it has printed:\n{text}");
        }
    }

    /// Asks it to end, as Ctrl-C does.
    ///
    /// # Errors
    /// If it has ended already.
    pub fn interrupt(&self) -> Result<()> {
        tools::run(Command::new("kill").args(["-INT", &self.child.id().to_string()]))
    }

    /// Waits for its end.
    ///
    /// # Errors
    /// If it takes too long, or a signal has ended it.
    pub fn end(mut self) -> Result<Ended> {
        let status = self.until("end", |_, ended| ended)?;
        let status = status.code().context("a signal has ended it")?;
        Ok(Ended { status, text: String::from_utf8_lossy(&self.all).into_owned() })
    }
}

impl Drop for Typed {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

impl Ended {
    /// The same, if this is its exit status.
    ///
    /// # Errors
    /// If it is another one.
    pub fn with(self, status: i32) -> Result<Self> {
        ensure!(self.status == status, "it has ended with {}:\n{}", self.status, self.text);
        Ok(self)
    }

    /// The same, if `words` are in what it has printed.
    ///
    /// # Errors
    /// If they are not.
    pub fn saying(self, words: &str) -> Result<Self> {
        ensure!(self.text.contains(words), "it does not say `{words}`:\n{}", self.text);
        Ok(self)
    }
}

/// The command that starts this program with `words` behind its name.
///
/// # Errors
/// If this program is nowhere any more.
fn xtask(words: &[&str]) -> Result<Command> {
    let mut command = Command::new(paths::this_program()?);
    command.args(words);
    Ok(command)
}

/// Sends what `stream` has to `sender`, in a thread that ends with it.
fn pass_on(mut stream: impl Read + Send + 'static, sender: Sender<Vec<u8>>) {
    std::thread::spawn(move || {
        let mut bytes = [0; 4096];
        while let Ok(length @ 1..) = stream.read(&mut bytes) {
            if sender.send(bytes[..length].to_vec()).is_err() {
                break;
            }
        }
    });
}
