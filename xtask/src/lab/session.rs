//! A running lab whose dom0 takes commands.
//!
//! The shell of dom0 has a virtio serial port as its input and output; this side has a socket.
//! There is another port for files, because the shell reads more of its input than the next line.
//! What Xen and dom0 print on their console is kept, to be shown when something goes wrong.

use std::env;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, ErrorKind, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, sleep};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, bail, ensure};
use serde_json::json;

use super::monitor::Monitor;
use super::snapshot::Snapshot;
use super::{Hardware, Lab, machine};
use crate::run::{Console, Running, interrupted};
use crate::temporary::TemporaryFile;
use crate::ui;

/// How long Xen and dom0 may take to boot, and most commands to end, on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(120);

/// How often is looked whether someone wants all this to end.
const INTERVAL: Duration = Duration::from_millis(200);

/// After how long without a word dom0 gets an empty line, which its shell passes over. Xen on x86 was
/// seen to sleep on, in QEMU, as if its timer had not rung, until any other interrupt came.
const NUDGE: Duration = Duration::from_secs(10);

/// How long dom0 may take to answer when it has booted earlier.
const PATIENCE_AFTER_SNAPSHOT: Duration = Duration::from_secs(30);

/// The serial ports of dom0.
const PORTS: [&str; 2] = ["commands", "files"];

/// What dom0 prints when it is ready.
const READY: &str = ": ready";

/// The variable of the environment that names a file to which a session adds, when it ends, what Xen
/// and dom0 have printed since dom0 was ready: for those who started the program that has the session.
pub const CONSOLE_FILE: &str = "MAYFLY_LAB_CONSOLE";

/// What ends the output of a command, with its number and its exit status.
const MARK: &str = "lab-command-ended";

/// Xen and dom0. They end when this is dropped.
pub struct Session {
    running: Running,
    console: Kept,
    /// Bytes that were printed there before dom0 was ready.
    ready: usize,
    commands: BufReader<UnixStream>,
    files: UnixStream,
    monitor: Monitor,
    /// Commands so far.
    count: u32,
    /// How long a command may take.
    pub patience: Duration,
    /// The sockets' names, as long as the session.
    _sockets: [TemporaryFile; 3],
}

/// What a command has printed, errors and all, and its exit status.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Output {
    /// 0 if all went well.
    pub status: i32,
    /// As they are.
    pub bytes: Vec<u8>,
}

impl Output {
    /// What was printed, as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.bytes).into_owned()
    }
}

impl Session {
    /// Boots, until the shell of dom0 answers, or goes on from where an earlier boot had come to.
    ///
    /// # Errors
    /// If QEMU cannot be started, or dom0 is not there in two minutes; the error has the console.
    pub fn start(lab: &Lab, hardware: &Hardware) -> Result<Self> {
        let snapshot = Snapshot::of(lab, hardware, &PORTS)?;
        if let Some(snapshot) = snapshot.as_ref().filter(|snapshot| snapshot.is_there()) {
            match Self::go_on(lab, hardware, snapshot) {
                Err(error) if !interrupted() => {
                    ui::warning(format_args!("a snapshot of the lab is of no use: {error:#}"));
                    snapshot.remove();
                }
                result => return result,
            }
        }
        let mut session = Self::launch(lab, hardware, true)?;
        session.until_ready()?;
        session.succeed("true")?;
        if let Some(snapshot) = snapshot {
            let unfinished = snapshot.unfinished();
            let saved = session.monitor.save(unfinished.name()).and_then(|()| unfinished.finish());
            // The next start takes longer, that is all.
            saved.unwrap_or_else(|error| {
                ui::warning(format_args!("the lab's state cannot be kept: {error:#}"));
            });
        }
        Ok(session)
    }

    /// Goes on from where a boot had come to.
    fn go_on(lab: &Lab, hardware: &Hardware, snapshot: &Snapshot) -> Result<Self> {
        let mut session = Self::launch(lab, hardware, false)?;
        session.monitor.restore(snapshot.name(), &PORTS)?;
        session.patience = PATIENCE_AFTER_SNAPSHOT;
        // Its clock stood still. Dom0 tells Xen.
        let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
        session.succeed(&format!("date -s @{now}"))?;
        session.patience = PATIENCE;
        Ok(session)
    }

    /// Starts QEMU, which boots, or else waits for a state to go on from.
    fn launch(lab: &Lab, hardware: &Hardware, boots: bool) -> Result<Self> {
        let [commands, files] = PORTS.map(TemporaryFile::new);
        let sockets = [commands?, files?, TemporaryFile::new("monitor")?];
        let [commands, files, monitor] = &sockets;
        let mut qemu = machine::command(lab, hardware, boots);
        let ports = [(PORTS[0], commands.path()), (PORTS[1], files.path())];
        qemu.args(["-serial", "stdio"]).args(machine::ports(lab.xen, &ports));
        let path = monitor.path().display().to_string().replace(',', ",,");
        qemu.args(["-qmp", &format!("unix:{path},server=on,wait=off")]);
        if !boots {
            qemu.args(["-S", "-incoming", "defer"]);
        }
        let console = Kept::default();
        let mut running = Running::start(qemu, console.clone())?;
        let mut connect = |socket| {
            connect(socket, &mut running)
                .with_context(|| format!("QEMU did not start:\n{}", console.text()))
        };
        let (commands, files) = (BufReader::new(connect(commands)?), connect(files)?);
        let monitor = Monitor::new(connect(monitor)?);
        let monitor = monitor.with_context(|| format!("QEMU:\n{}", console.text()))?;
        Ok(Self {
            running,
            console,
            ready: 0,
            commands,
            files,
            monitor,
            count: 0,
            patience: PATIENCE,
            _sockets: sockets,
        })
    }

    /// Number of QEMU's process.
    pub fn process(&self) -> u32 {
        self.running.id()
    }

    /// What Xen and dom0 have printed on their console so far.
    pub fn console(&self) -> String {
        self.console.text()
    }

    /// That of it which was printed since dom0 was ready.
    pub fn console_since_ready(&self) -> String {
        self.console().get(self.ready..).unwrap_or_default().to_owned()
    }

    /// Waits for dom0's word: what is written before its shell reads would be lost.
    fn until_ready(&mut self) -> Result<()> {
        let start = Instant::now();
        loop {
            let text = self.console.text();
            if let Some(at) = text.find(READY) {
                self.ready = at + READY.len();
                return Ok(());
            }
            ensure!(!interrupted(), "interrupted");
            let alive = self.running.is_running() && start.elapsed() < PATIENCE;
            ensure!(alive, "dom0 did not boot:\n{}", self.console.text());
            sleep(Duration::from_millis(20));
        }
    }

    /// Has dom0's shell run `command`, without input.
    ///
    /// # Errors
    /// If dom0 no longer answers, or not in time; the error has the console. That a command fails is
    /// no error.
    pub fn run(&mut self, command: &str) -> Result<Output> {
        self.count += 1;
        let mark = format!("{MARK} {} ", self.count);
        // The shell must not be ended by what it runs, nor lose its input to it.
        let line = format!("( {command}\n) </dev/null 2>&1; s=$?; echo; echo \"{mark}$s\"\n");
        let result = self.commands.get_mut().write_all(line.as_bytes()).map_err(Into::into);
        result.and_then(|()| self.output(&mark)).map_err(|error| {
            let is_stuck = self.patience >= PATIENCE && self.running.is_running();
            let processor = if is_stuck { self.processor() } else { String::new() };
            let console = self.console.text();
            error.context(format!("dom0 does not answer to `{command}`:\n{console}\n{processor}"))
        })
    }

    /// What the machine's processor is doing, as QEMU has it: where it is, and, on x86, which
    /// interrupts it waits for.
    fn processor(&mut self) -> String {
        let mut ask = |command| {
            let arguments = json!({ "command-line": command });
            let answer = self.monitor.execute("human-monitor-command", arguments)?;
            Ok::<_, anyhow::Error>(answer.as_str().unwrap_or_default().to_owned())
        };
        let texts = ask("info registers").and_then(|text| Ok(text + &ask("info lapic")?));
        texts.unwrap_or_else(|error| format!("{error:#}\n"))
    }

    /// What comes before `mark`, and the status after it.
    fn output(&mut self, mark: &str) -> Result<Output> {
        let start = Instant::now();
        let (mut bytes, mut line, mut nudged) = (Vec::new(), Vec::new(), start);
        loop {
            if nudged.elapsed() > NUDGE {
                self.commands.get_mut().write_all(b"\n")?;
                nudged = Instant::now();
            }
            ensure!(!interrupted(), "interrupted");
            ensure!(start.elapsed() < self.patience, "it takes more than {:?}", self.patience);
            match self.commands.read_until(b'\n', &mut line) {
                Ok(_) if line.ends_with(b"\n") => {}
                Ok(_) => bail!("QEMU has ended"),
                // What has been read of the line stays there.
                Err(error) if error.kind() == ErrorKind::WouldBlock => continue,
                Err(error) => return Err(error.into()),
            }
            if let Some(status) = line.strip_prefix(mark.as_bytes()) {
                // The line break before the mark is ours.
                bytes.pop();
                let status = String::from_utf8_lossy(status).trim().parse()?;
                return Ok(Output { status, bytes });
            }
            bytes.append(&mut line);
        }
    }

    /// As [`run`](Self::run), for a command that has to succeed; gives what it printed.
    ///
    /// # Errors
    /// If it fails, too.
    pub fn succeed(&mut self, command: &str) -> Result<String> {
        let output = self.run(command)?;
        let (status, text) = (output.status, output.text());
        ensure!(status == 0, "`{command}` in dom0 ended with {status}:\n{text}");
        Ok(text)
    }

    /// Puts a file of this machine into dom0.
    ///
    /// # Errors
    /// If it cannot be read, or dom0 does not answer.
    pub fn send_file(&mut self, path: &str, file: &Path) -> Result<()> {
        let content = fs::read(file).with_context(|| format!("cannot read {}", file.display()))?;
        self.send(path, &content)
    }

    /// Puts a file with this content into dom0.
    ///
    /// # Errors
    /// If dom0 does not answer.
    pub fn send(&mut self, path: &str, content: &[u8]) -> Result<()> {
        let size = content.len();
        let mut files = self.files.try_clone()?;
        // Both at once: more than fits in between is only taken while it is read. Linux throws away
        // what comes while nobody has the port open, so the shell has it open all the time, as 7.
        let text = thread::scope(|scope| {
            let sent = scope.spawn(move || files.write_all(content));
            let command = format!("head -c {size} <&7 >{path} && stat -c %s {path}");
            let text = self.succeed(&command).inspect_err(|_| {
                // Nobody reads what is still to come.
                self.files.shutdown(Shutdown::Both).ok();
            })?;
            sent.join().map_err(|_| anyhow::anyhow!("the sender panicked"))??;
            Ok::<_, anyhow::Error>(text)
        })?;
        ensure!(text.trim() == size.to_string(), "{path} in dom0 has {text} bytes");
        Ok(())
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        let Some(path) = env::var_os(CONSOLE_FILE) else { return };
        let file = File::options().create(true).append(true).open(path);
        // Who asked for it finds that there is none.
        file.and_then(|mut file| file.write_all(self.console_since_ready().as_bytes())).ok();
    }
}

fn connect(socket: &TemporaryFile, running: &mut Running) -> Result<UnixStream> {
    let start = Instant::now();
    loop {
        match UnixStream::connect(socket.path()) {
            Ok(stream) => {
                stream.set_read_timeout(Some(INTERVAL))?;
                stream.set_write_timeout(Some(PATIENCE))?;
                return Ok(stream);
            }
            Err(error) if !running.is_running() || start.elapsed() > PATIENCE || interrupted() => {
                return Err(error.into());
            }
            Err(_) => sleep(Duration::from_millis(10)),
        }
    }
}

/// What was printed so far.
#[derive(Clone, Default)]
struct Kept(Arc<Mutex<Vec<u8>>>);

impl Kept {
    fn text(&self) -> String {
        let bytes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        String::from_utf8_lossy(&bytes).into_owned()
    }
}

impl Console for Kept {
    fn bytes(&mut self, bytes: &[u8]) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
    }
}
