//! A command line of ours in a process of its own, as when somebody types it. If it boots the lab, Xen
//! and dom0 must not complain of anything meanwhile.

use std::fs;
use std::io::{Read, Write};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use crate::lab::CONSOLE_FILE;
use crate::run::interrupted;
use crate::temporary::TemporaryFile;
use crate::test::lab::logs;
use crate::{paths, tools};

/// How long a command may take; it may compile an app, or boot the lab.
const PATIENCE: Duration = Duration::from_secs(300);

/// The exit status of what Ctrl-C has ended: 128 and the number of SIGINT, as shells have it.
pub const INTERRUPTED: i32 = 130;

/// A command that runs. It is ended when this is dropped.
pub struct Typed {
    child: Child,
    /// What it prints, as it does.
    output: Receiver<Part>,
    /// What it has printed so far.
    stdout: Vec<u8>,
    all: Vec<u8>,
    /// What Xen and dom0 have printed, if it has booted them, once it has ended.
    console: TemporaryFile,
}

/// Some bytes that a command has printed.
struct Part {
    is_result: bool,
    bytes: Vec<u8>,
}

/// How a command has ended.
pub struct Ended {
    /// Its exit status.
    pub status: i32,
    /// What it has printed on standard output, where results go.
    pub stdout: String,
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
    pub fn start(command: Command, input: Stdio) -> Result<Self> {
        let mut command = tools::dying_with_us(command);
        command.stdin(input).stdout(Stdio::piped()).stderr(Stdio::piped());
        let console = TemporaryFile::new("console")?;
        command.env(CONSOLE_FILE, console.path());
        // As a shell does it, so that Ctrl-C reaches it and all that it has started.
        command.process_group(0);
        let mut child = command.spawn().with_context(|| tools::cannot_start(&command))?;
        let (sender, output) = channel();
        let stdout = child.stdout.take().context("a command has an output")?;
        pass_on(stdout, true, sender.clone());
        let stderr = child.stderr.take().context("a command has an error output")?;
        pass_on(stderr, false, sender);
        Ok(Self { child, output, stdout: Vec::new(), all: Vec::new(), console })
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
                self.keep(&part);
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

    fn keep(&mut self, part: &Part) {
        self.all.extend_from_slice(&part.bytes);
        if part.is_result {
            self.stdout.extend_from_slice(&part.bytes);
        }
    }

    /// Types a line, if it was started with a pipe as its input.
    ///
    /// # Errors
    /// If it reads nothing any more.
    pub fn type_line(&mut self, line: &str) -> Result<()> {
        let input = self.child.stdin.as_mut().context("nothing can be typed")?;
        Ok(input.write_all(format!("{line}\n").as_bytes())?)
    }

    /// The number of its process.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Asks it to end, as Ctrl-C does, but nothing else that it has started.
    ///
    /// # Errors
    /// If it has ended already.
    pub fn interrupt(&self) -> Result<()> {
        self.signal(&self.id().to_string())
    }

    /// Presses Ctrl-C: what it has started hears of that, too.
    ///
    /// # Errors
    /// If it has ended already.
    pub fn press_ctrl_c(&self) -> Result<()> {
        self.signal(&format!("-{}", self.id()))
    }

    fn signal(&self, whom: &str) -> Result<()> {
        tools::run(Command::new("kill").args(["-INT", "--", whom]))
    }

    /// Waits for its end.
    ///
    /// # Errors
    /// If it takes too long, or a signal has ended it, or if Xen or dom0 complain.
    pub fn end(mut self) -> Result<Ended> {
        let status = self.until("end", |_, ended| ended)?;
        if let Ok(console) = fs::read(self.console.path()) {
            logs::ensure_usual(String::from_utf8_lossy(&console).lines())?;
        }
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Ok(Ended {
            status: status.code().context("a signal has ended it")?,
            stdout: text(&self.stdout),
            text: text(&self.all),
        })
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
pub fn xtask(words: &[&str]) -> Result<Command> {
    let mut command = Command::new(paths::this_program()?);
    command.args(words);
    Ok(command)
}

/// Sends what `stream` has to `sender`, in a thread that ends with it.
fn pass_on(mut stream: impl Read + Send + 'static, is_result: bool, sender: Sender<Part>) {
    std::thread::spawn(move || {
        let mut bytes = [0; 4096];
        while let Ok(length @ 1..) = stream.read(&mut bytes) {
            if sender.send(Part { is_result, bytes: bytes[..length].to_vec() }).is_err() {
                break;
            }
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Typed {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        Typed::start(command, Stdio::null()).unwrap()
    }

    #[test]
    fn results_are_told_from_the_rest() {
        let ended = shell("echo result; echo progress >&2; exit 3").end().unwrap();
        let ended = ended.with(3).unwrap().saying("progress").unwrap();
        assert_eq!(ended.stdout, "result\n");
        assert!(ended.text.contains("result"));
        assert!(shell("exit 3").end().unwrap().with(0).is_err());
    }

    #[test]
    fn complaints_of_the_lab_are_failures() {
        let say = |line: &str| shell(&format!("echo '{line}' >$MAYFLY_LAB_CONSOLE")).end();
        assert!(say("[    1.2] device vif1.0 entered promiscuous mode").is_ok());
        assert!(say("[    1.2] vif vif-1-0 vif1.0: Impossible number of credits").is_err());
    }

    #[test]
    fn ctrl_c_reaches_what_was_started() {
        // In short steps: a shell that is about to start a program may forget a signal.
        let inner = "trap 'echo heard; exit' INT; echo ready; \
                     i=0; while [ $i -lt 100 ]; do i=$((i+1)); sleep 0.1; done";
        let mut outer = shell(&format!("trap : INT; sh -c {}; exit 130", tools::quote(inner)));
        outer.until("start", |text, _| text.contains("ready").then_some(())).unwrap();
        outer.press_ctrl_c().unwrap();
        outer.end().unwrap().with(INTERRUPTED).unwrap().saying("heard").unwrap();
    }
}
