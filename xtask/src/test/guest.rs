//! A guest that a test runs: its console, its ports, its end.

mod process;

use std::io::{self, PipeWriter};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use super::case::Failure;
use super::namespace::{self, Namespace};
use super::outside::{self, Processors};
use crate::build::Image;
use crate::run::{
    Console, End, Forward, Guest, Hardware, Network, Passt, Protocol, Reserved, Running,
    choose_host_ports, guest_status, interrupted,
};
use crate::symbolize::{Annotator, DebugInfo};
use crate::tools;

/// Most bytes of a console that are kept: the last ones.
const KEPT: usize = 1 << 20;

/// Lines of a console that a failure shows.
const TAIL: usize = 40;

/// A guest under test. It is ended when this is dropped.
pub struct TestGuest {
    /// What started it.
    command: Command,
    running: Running,
    console: Recorder,
    /// The image, unless the guest is a Linux process.
    image: Option<Image>,
    forwards: Vec<Forward>,
    namespace: Option<Namespace>,
    passt: Option<Passt>,
    _ports: Reserved,
}

impl TestGuest {
    /// Starts a guest.
    pub fn start(
        image: &Image,
        hardware: Hardware,
        network: Network,
        arguments: &[String],
    ) -> Result<Self> {
        Self::start_with(image, hardware, network, arguments, Vec::new())
    }

    /// Starts a guest with more arguments for QEMU.
    pub fn start_with(
        image: &Image,
        hardware: Hardware,
        mut network: Network,
        arguments: &[String],
        extra: Vec<String>,
    ) -> Result<Self> {
        let ports = ports_of(&mut network)?;
        let guest = guest(image, hardware, network, arguments, extra);
        Self::launch(Some(image), &guest, None, ports, Stdio::null())
    }

    /// The same, and one can type at its console.
    pub fn start_with_keyboard(
        image: &Image,
        hardware: Hardware,
        mut network: Network,
        arguments: &[String],
        extra: Vec<String>,
    ) -> Result<(Self, PipeWriter)> {
        let ports = ports_of(&mut network)?;
        let guest = guest(image, hardware, network, arguments, extra);
        let (keys, keyboard) = io::pipe()?;
        Ok((Self::launch(Some(image), &guest, None, ports, keys.into())?, keyboard))
    }

    /// Starts a guest on a network that only it and its clients are on.
    pub fn start_in(
        namespace: Namespace,
        image: &Image,
        hardware: Hardware,
        arguments: &[String],
    ) -> Result<Self> {
        Self::start_in_with(namespace, image, hardware, arguments, Vec::new())
    }

    /// Starts a guest on such a network with more arguments for QEMU.
    pub fn start_in_with(
        namespace: Namespace,
        image: &Image,
        hardware: Hardware,
        arguments: &[String],
        extra: Vec<String>,
    ) -> Result<Self> {
        let network = Network::Tap(namespace::INTERFACE.into());
        let arguments = [&[namespace::BOOT_ARGUMENT.to_owned()], arguments].concat();
        let guest = guest(image, hardware, network, &arguments, extra);
        Self::launch(Some(image), &guest, Some(namespace), Reserved::default(), Stdio::null())
    }

    /// Starts a guest of another operating system on such a network.
    pub fn start_other(namespace: Namespace, guest: &Guest) -> Result<Self> {
        Self::launch(None, guest, Some(namespace), Reserved::default(), Stdio::null())
    }

    fn launch(
        image: Option<&Image>,
        guest: &Guest,
        namespace: Option<Namespace>,
        ports: Reserved,
        keys: Stdio,
    ) -> Result<Self> {
        let mut command = Command::new(guest.arch.qemu());
        command.args(guest.qemu_arguments()?);
        if let Some(namespace) = &namespace {
            command = namespace.inside(&command);
        }
        let (running, console) = record(&command, keys)?;
        let forwards = guest.network.forwards().to_vec();
        Ok(Self {
            command,
            running,
            console,
            image: image.cloned(),
            forwards,
            namespace,
            passt: None,
            _ports: ports,
        })
    }

    /// Whether its network is passt's.
    pub fn is_on_passt(&self) -> bool {
        self.passt.is_some()
    }

    /// Starts the guest once more, as it was started first, and with an empty console.
    pub fn again(&mut self) -> Result<()> {
        self.running.stop()?;
        (self.running, self.console) = record(&self.command, Stdio::null())?;
        Ok(())
    }

    /// The same command, to be run where it can reach the guest.
    pub fn client(&self, command: &Command) -> Command {
        match &self.namespace {
            Some(namespace) => namespace.inside(command),
            None => tools::copy(command),
        }
    }

    /// Address and port at which clients reach a port of the guest.
    pub fn address(&self, guest: u16, protocol: Protocol) -> Result<(String, u16)> {
        if self.namespace.is_some() {
            return Ok((namespace::GUEST_ADDRESS.into(), guest));
        }
        Ok(("127.0.0.1".into(), self.port(guest, protocol)?))
    }

    /// The port of this machine that leads to a port of the guest.
    pub fn port(&self, guest: u16, protocol: Protocol) -> Result<u16> {
        self.forwards
            .iter()
            .find(|one| one.guest == guest && one.protocol.transport() == protocol.transport())
            .map(|one| one.host)
            .with_context(|| {
                format!("the app's Cargo.toml does not declare port {guest}/{protocol}")
            })
    }

    /// Waits until the guest has ended; gives its exit status.
    pub fn wait(&mut self, timeout: Duration) -> Result<u8> {
        let end = self.running.wait(Some(timeout))?;
        let complained = self.running.drain();
        match end {
            End::TimedOut => bail!("it was still running after {} s", timeout.as_secs()),
            End::Interrupted => bail!("interrupted"),
            End::Exited(status) => status
                .code()
                .and_then(|code| match &self.image {
                    Some(image) => guest_status(image.arch, code, complained),
                    None => u8::try_from(code).ok(),
                })
                .with_context(|| format!("it failed to run ({status})")),
        }
    }

    /// Waits until `ready` gives something, for as long as the guest runs.
    pub fn until<T>(
        &mut self,
        what: &str,
        timeout: Duration,
        mut ready: impl FnMut(&str) -> Option<T>,
    ) -> Result<T> {
        let deadline = Instant::now() + timeout;
        loop {
            // Looked at before the console, so that its last words are not missed.
            let alive = self.running.is_running();
            if let Some(found) = ready(&self.console.text()) {
                return Ok(found);
            }
            if !alive {
                bail!("the guest ended before {what}");
            }
            if Instant::now() >= deadline || interrupted() {
                bail!("no {what} within {} s", timeout.as_secs());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Does `work`, and has the guest do nothing for `time` from now on, so that what comes for it
    /// meanwhile comes all at once.
    pub fn while_stopped<R>(&self, time: Duration, work: impl FnOnce() -> R) -> Result<R> {
        let process = self.running.id();
        let signal = |name: &str| {
            let script = format!("kill -{name} {process}");
            tools::run(Command::new("sh").args(["-c", &script]))
        };
        signal("STOP")?;
        std::thread::scope(|scope| {
            let again = scope.spawn(|| {
                std::thread::sleep(time);
                signal("CONT")
            });
            let result = work();
            again.join().map_err(|_| anyhow::anyhow!("the guest does not go on"))??;
            Ok(result)
        })
    }

    /// KiB of its memory that the guest has ever used, if that can be told.
    pub fn memory_used(&self) -> Option<u64> {
        let words: Vec<_> = self.command.get_args().map(|word| word.to_string_lossy()).collect();
        let at = words.iter().position(|word| word == "-m")?;
        outside::memory_used(self.running.id(), words.get(at + 1)?)
    }

    /// What the guest has had of the processors of its host, if that can be told.
    pub fn processors(&self) -> Option<Processors> {
        outside::processors(self.running.id())
    }

    /// All that the guest has printed.
    pub fn console(&self) -> String {
        self.console.text()
    }

    /// Leaves the console unread.
    pub fn leave_unread(&self) -> Unread<'_> {
        Unread(self.console.kept())
    }

    /// All that the guest has printed, with the places in the source that `cargo xtask run` would
    /// have added.
    pub fn annotated_console(&self) -> String {
        self.annotate(&self.console.text())
    }

    /// `text` from the console with places in the source, as far as they are known.
    fn annotate(&self, text: &str) -> String {
        annotate(text, self.image.as_ref())
    }

    /// Makes `error` a failure that shows the last lines of the console, with source lines.
    pub fn failure(&mut self, error: &anyhow::Error) -> Failure {
        self.running.stop().ok();
        self.running.drain();
        failure(error, &self.console.text(), self.image.as_ref())
    }
}

/// Makes `error` a failure that shows the last lines of `console`, with places in the source.
pub fn failure(error: &anyhow::Error, console: &str, image: Option<&Image>) -> Failure {
    let lines: Vec<&str> = console.lines().collect();
    let tail = lines.get(lines.len().saturating_sub(TAIL)..).unwrap_or_default();
    let output = annotate(&tail.join("\n"), image);
    Failure::new(format_args!("{error:#}")).with_output(output)
}

/// `text` from a console with places in the source of `image`, as far as they are known.
pub fn annotate(text: &str, image: Option<&Image>) -> String {
    let debug_info = image.and_then(|image| DebugInfo::load(&image.elf).ok());
    let mut annotator = debug_info.map(Annotator::new);
    let mut output = String::new();
    for line in text.lines() {
        output += line;
        output.push('\n');
        if let Some(annotator) = &mut annotator {
            output += &annotator.annotate(line);
        }
    }
    output
}

/// Chooses the ports of this machine that lead to those of a guest.
fn ports_of(network: &mut Network) -> Result<Reserved> {
    match network {
        Network::User(forwards) | Network::Closed(forwards) => choose_host_ports(forwards),
        Network::None | Network::Tap(_) => Ok(Reserved::default()),
    }
}

/// Everything about a guest that is not to be debugged.
fn guest(
    image: &Image,
    hardware: Hardware,
    network: Network,
    arguments: &[String],
    extra: Vec<String>,
) -> Guest {
    Guest {
        arch: image.arch,
        image: image.path.clone(),
        hardware,
        network,
        arguments: arguments.to_vec(),
        gdb: None,
        extra,
    }
}

/// Starts a guest, whose console hears `keys`, and keeps what it prints.
fn record(command: &Command, keys: Stdio) -> Result<(Running, Recorder)> {
    let console = Recorder::default();
    Ok((Running::start_with(tools::copy(command), keys, console.clone())?, console))
}

/// A console that keeps what is printed.
#[derive(Clone, Default)]
struct Recorder(Arc<Mutex<Vec<u8>>>);

/// While this is there, nobody reads a guest's console.
pub struct Unread<'a>(
    #[expect(dead_code, reason = "what reads the console waits for it")] MutexGuard<'a, Vec<u8>>,
);

impl Recorder {
    fn kept(&self) -> MutexGuard<'_, Vec<u8>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.kept()).replace('\r', "")
    }
}

impl Console for Recorder {
    fn bytes(&mut self, bytes: &[u8]) {
        let mut kept = self.kept();
        kept.extend_from_slice(bytes);
        let excess = kept.len().saturating_sub(KEPT);
        kept.drain(..excess);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_recorder_keeps_the_end() {
        let mut recorder = Recorder::default();
        recorder.bytes(&vec![b'x'; KEPT]);
        recorder.bytes(b"last\r\n");
        let text = recorder.text();
        assert!(text.ends_with("xlast\n") && text.len() < KEPT);
    }
}
