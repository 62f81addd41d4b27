//! The commands that people type for Xen, as they type them: `run --on xen` and its dom0less sibling
//! with machines of their own, and what `xl-cfg` writes, on the machine of the other tests.

use std::io::Read;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use super::Shared;
use crate::arch::Arch;
use crate::lab::{Session, Xen};
use crate::paths;
use crate::run::answers;
use crate::temporary::TemporaryFile;
use crate::test::case::Case;
use crate::tools;

/// How long a command may take; a machine is booted in it.
const PATIENCE: Duration = Duration::from_secs(180);

/// The exit status of what Ctrl-C has ended: 128 and the number of SIGINT, as shells have it.
const INTERRUPTED: i32 = 130;

/// A page of the example http, and where it is served.
const PAGE: &str = "examples/http/site/how.html";
const PATH: &str = "how.html";

/// What the example hello prints.
const GREETING: &str = "Hello from Mayfly.";

/// The address of the guest that `xl-cfg` configures.
const ADDRESS: &str = "10.99.0.12";

/// The tests that boot a machine of their own.
pub fn own_machines(arches: &[Arch]) -> Vec<Case> {
    let mut cases = Vec::new();
    for &arch in arches {
        let name = |what: &str| format!("lab/commands/{what}/{arch}");
        if arch == Arch::Armv7 {
            cases.push(Case::new(name("armhf"), || Ok(greets_on_32_bits()?)));
        }
        cases.push(Case::new(name("run-http"), move || Ok(serves(arch)?)));
        cases.push(Case::new(name("run-hello"), move || Ok(greets("xen", arch)?)));
        if Xen::of(arch) == Xen::Aarch64 {
            let greets = move || Ok(greets("xen-dom0less", arch)?);
            cases.push(Case::new(name("run-dom0less"), greets));
        }
    }
    cases
}

/// The test of what `xl-cfg` writes.
pub fn xl_cfg(machine: &Shared, arch: Arch) -> Case {
    machine.case(format!("lab/xen/xl-cfg/{arch}"), move |session| Ok(is_enough(session, arch)?))
}

/// A command of ours that runs. It is ended when this is dropped.
struct Typed {
    child: Child,
    /// What it prints, as it does.
    output: Receiver<Vec<u8>>,
    text: String,
}

impl Typed {
    fn new(words: &[&str]) -> Result<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        command.args(words);
        let mut command = tools::dying_with_us(command);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().with_context(|| tools::cannot_start(&command))?;
        let (sender, output) = channel();
        let streams: [Option<Box<dyn Read + Send>>; 2] = [
            child.stdout.take().map(|stream| Box::new(stream) as _),
            child.stderr.take().map(|stream| Box::new(stream) as _),
        ];
        for mut stream in streams.into_iter().flatten() {
            let sender = sender.clone();
            std::thread::spawn(move || {
                let mut part = [0; 4096];
                while let Ok(length @ 1..) = stream.read(&mut part) {
                    if sender.send(part[..length].to_vec()).is_err() {
                        break;
                    }
                }
            });
        }
        Ok(Self { child, output, text: String::new() })
    }

    /// Waits until `look` finds something in what it has printed, or in how it has ended.
    fn until<T>(
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
                self.text += &String::from_utf8_lossy(&part);
                if ended.is_none() {
                    break;
                }
            }
            if let Some(found) = look(&self.text, ended) {
                return Ok(found);
            }
            let is_over = ended.is_some() || start.elapsed() > PATIENCE;
            ensure!(!is_over, "no {what} ({ended:?}); it has printed:\n{}", self.text);
        }
    }

    fn interrupt(&self) -> Result<()> {
        tools::run(Command::new("kill").args(["-INT", &self.child.id().to_string()]))
    }

    /// How it ends, and everything that it has printed.
    fn end(mut self) -> Result<(i32, String)> {
        let status = self.until("end", |_, ended| ended)?;
        Ok((status.code().context("a signal has ended it")?, std::mem::take(&mut self.text)))
    }
}

impl Drop for Typed {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// The port of a complete line that says where it serves.
fn port(text: &str) -> Option<u16> {
    let (_, rest) = text.split_once("Serving http://127.0.0.1:")?;
    let (port, _) = rest.split_once('\n')?;
    port.trim_end_matches('/').parse().ok()
}

/// `run http --on xen` says where, and there is the site, until Ctrl-C.
fn serves(arch: Arch) -> Result<()> {
    let mut run = Typed::new(&["run", "http", "--on", "xen", "--arch", arch.name()])?;
    let port = run.until("URL", |text, _| port(text))?;
    let mut curl = Command::new("curl");
    curl.args(["--silent", "--show-error", "--max-time", "30"]);
    let page = curl.arg(format!("http://127.0.0.1:{port}/{PATH}")).output()?;
    let error = String::from_utf8_lossy(&page.stderr);
    ensure!(page.status.success(), "curl has failed: {error}");
    let expected = std::fs::read(paths::repository().join(PAGE))?;
    ensure!(
        page.stdout == expected,
        "curl has got {} bytes that are not {PAGE}",
        page.stdout.len()
    );
    run.interrupt()?;
    let (status, text) = run.end()?;
    ensure!(status == INTERRUPTED, "Ctrl-C has ended it with {status}:\n{text}");
    ensure!(!answers(port), "it still answers");
    Ok(())
}

/// `run hello` prints what the guest does, and ends with it.
fn greets(platform: &str, arch: Arch) -> Result<()> {
    let run = Typed::new(&["run", "hello", "--on", platform, "--arch", arch.name()])?;
    let (status, text) = run.end()?;
    ensure!(status == 0 && text.contains(GREETING), "it has ended with {status}:\n{text}");
    Ok(())
}

/// Has `xl-cfg` configure a release image. Returns the configuration and the path of the image.
fn configured(app: &str, arch: Arch, arguments: &[&str]) -> Result<(TemporaryFile, String)> {
    let config = TemporaryFile::new("xl-cfg")?;
    let path = config.path().to_str().context("a path is not UTF-8")?;
    let words = ["xl-cfg", app, "--release", "--arch", arch.name(), "--output", path, "--"];
    let (status, text) = Typed::new(&[&words[..], arguments].concat())?.end()?;
    ensure!(status == 0, "xl-cfg has ended with {status}:\n{text}");
    // It says where the image is.
    let image = text.lines().find_map(|line| line.split_once("for the image "));
    let (_, image) = image.with_context(|| format!("xl-cfg names no image:\n{text}"))?;
    Ok((config, image.trim().to_owned()))
}

/// `xl` creates a guest by what `xl-cfg` writes, and it serves with the memory that is the least.
fn is_enough(session: &mut Session, arch: Arch) -> Result<()> {
    let (config, image) = configured("http", arch, &[&format!("ip={ADDRESS}/24")])?;
    session.succeed("mkdir -p xl-cfg")?;
    session.send_file("xl-cfg/http", image.as_ref())?;
    session.send_file("xl-cfg/http.cfg", config.path())?;
    let created = session.succeed("cd xl-cfg && xl create http.cfg");
    let served = created.and_then(|_| serves_dom0(session));
    let cleaned = session.succeed("rm -r xl-cfg; xl destroy http");
    served.and(cleaned.map(|_| ()))
}

/// `lab exec` boots Xen of 32 bits, which creates a guest by what `xl-cfg` writes.
fn greets_on_32_bits() -> Result<()> {
    let (config, image) = configured("hello", Arch::Armv7, &[])?;
    let path = config.path().to_str().context("a path is not UTF-8")?;
    let name = config.path().file_name().and_then(|name| name.to_str()).context("it has a name")?;
    let log = "/var/log/xen/console/guest-hello.log";
    let command = format!(
        "uname -m; xl create {name}; i=0; until grep '{GREETING}' {log}; do \
         i=$((i+1)); [ $i -lt 60 ] || exit 1; sleep 0.5; done"
    );
    let words = ["lab", "exec", "--arch", "armv7", "--file", path, "--file", &image, &command];
    let (status, text) = Typed::new(&words)?.end()?;
    let greets = text.lines().any(|line| line.trim() == GREETING);
    ensure!(
        status == 0 && greets && text.contains("armv7l"),
        "it has ended with {status}:\n{text}"
    );
    Ok(())
}

fn serves_dom0(session: &mut Session) -> Result<()> {
    session.succeed("ip neigh flush dev xenbr0")?;
    let get = format!(
        "printf 'GET /{PATH} HTTP/1.0\\r\\nHost: guest\\r\\n\\r\\n' | nc -w 5 {ADDRESS} 80"
    );
    session.succeed(&format!(
        "i=0; until {get} | grep -q 200; do i=$((i+1)); [ $i -lt 60 ] || exit 1; sleep 0.5; done"
    ))?;
    // Behind the empty line that ends the header.
    let sums = session.succeed(&format!("{get} | sed '1,/^\r$/d' | sha256sum"))?;
    let file = paths::repository().join(PAGE);
    let expected = tools::output(Command::new("sha256sum").arg(&file))?;
    let sum = |text: &str| text.split_whitespace().next().map(str::to_owned);
    if sum(&sums) != sum(&expected) {
        bail!("dom0 has got {sums} instead of {expected}");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_a_line_says_no_port() {
        assert_eq!(port("x\n     Serving http://127.0.0.1:8080/\n"), Some(8080));
        assert_eq!(port("     Serving http://127.0.0.1:8080\nmore"), Some(8080));
        assert_eq!(port("     Serving http://127.0.0.1:80"), None);
    }
}
