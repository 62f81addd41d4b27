//! A guest of a running lab.
//!
//! `xl create -F` stays until the guest shuts down, and says for which reason. It runs in the
//! background of dom0, and what xenconsoled writes of the guest's console is read part by part.

use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use super::Session;
use crate::tools::quote;
use crate::xl_cfg::Config;

/// How often a guest is looked at. Each time costs dom0 a process.
const INTERVAL: Duration = Duration::from_millis(100);

/// How long xenconsoled may keep the last words of a guest to itself: its limit of 30 events in 200
/// ms, and as much again.
const SILENCE: Duration = Duration::from_millis(400);

/// How long the xl that watches a guest may take to end once the guest is gone.
const LAST_WORDS: Duration = Duration::from_secs(30);

/// Where dom0 keeps what xl has said of earlier guests of a name, beside the files `NAME.xl` of the
/// last ones. The tests of the logs look at all files whose names end so.
const XL_LOG: &str = "earlier.xl";

/// What a guest prints as its last line, before its exit status.
const STATUS: &str = "mayfly: exit status ";

/// Most bytes of the console's end that are searched for the exit status.
const TAIL: usize = 256;

/// Why a domain has shut down, as it told Xen (xen/include/public/sched.h, `SHUTDOWN_*`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// It has nothing more to do.
    PowerOff,
    /// It wants to be started again.
    Reboot,
    /// It can be saved.
    Suspend,
    /// Something went wrong.
    Crash,
    /// Its watchdog was not put off.
    Watchdog,
    /// Another one.
    Other(u32),
}

impl Reason {
    fn from_code(code: u32) -> Self {
        match code {
            0 => Self::PowerOff,
            1 => Self::Reboot,
            2 => Self::Suspend,
            3 => Self::Crash,
            4 => Self::Watchdog,
            other => Self::Other(other),
        }
    }
}

/// How a guest has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ending {
    /// Its exit status; 0 if it rebooted, and otherwise 1 if it printed none.
    pub status: u8,
    /// The reason that it gave.
    pub reason: Reason,
}

/// A guest. It is there until [`destroy`](Self::destroy), or the session ends.
pub struct Domain {
    name: String,
    /// How many bytes of its console have been read.
    seen: usize,
    /// The last of them.
    tail: Vec<u8>,
    /// When the last of them came.
    heard: Instant,
}

impl Domain {
    /// Creates a guest as `config` says, which is for the lab and names a file that dom0 has
    /// ([`Session::send`]). It is paused if `paused`.
    ///
    /// # Errors
    /// If dom0 does not answer.
    pub fn create(session: &mut Session, config: &Config, paused: bool) -> Result<Self> {
        let domain =
            Self { name: config.name.clone(), seen: 0, tail: Vec::new(), heard: Instant::now() };
        let name = quote(&domain.name);
        session.send(&format!("{name}.cfg"), config.text().as_bytes())?;
        let options = if paused { "-F -p" } else { "-F" };
        session.succeed(&format!(
            "[ ! -e {name}.xl ] || cat {name}.xl >>{XL_LOG}; rm -f {name}.xl {name}.end {log}; \
             {{ xl create {options} {name}.cfg >{name}.xl 2>&1; echo $? >{name}.end; }} &",
            log = domain.log()
        ))?;
        Ok(domain)
    }

    fn log(&self) -> String {
        quote(&console_log(&self.name))
    }

    /// Lets a guest run that was created paused. It has to be there, see
    /// [`wait_until_there`](Self::wait_until_there).
    ///
    /// # Errors
    /// If dom0 does not answer, or xl fails.
    pub fn unpause(&self, session: &mut Session) -> Result<()> {
        session.succeed(&format!("xl unpause {}", quote(&self.name))).map(|_| ())
    }

    /// Waits until xl has made the domain.
    ///
    /// # Errors
    /// If it fails to, or takes more than `patience`.
    pub fn wait_until_there(&self, session: &mut Session, patience: Duration) -> Result<()> {
        let start = Instant::now();
        // It says so when the guest can be unpaused.
        let there = format!("grep -q 'Waiting for domain' {}.xl", quote(&self.name));
        while session.run(&there)?.status != 0 {
            ensure!(!self.has_ended(session)?, "{}", self.complaint(session)?);
            ensure!(start.elapsed() < patience, "xl does not create `{}`", self.name);
            sleep(INTERVAL);
        }
        Ok(())
    }

    fn has_ended(&self, session: &mut Session) -> Result<bool> {
        Ok(session.run(&format!("[ -e {}.end ]", quote(&self.name)))?.status == 0)
    }

    /// What xl has said.
    fn complaint(&self, session: &mut Session) -> Result<String> {
        session.succeed(&format!("cat {}.xl", quote(&self.name)))
    }

    /// Waits a moment, and gives `console` what the guest has printed meanwhile. Tells how the guest
    /// has ended, once it has and everything was read.
    ///
    /// # Errors
    /// If dom0 does not answer, or xl could not create the guest.
    pub fn follow(
        &mut self,
        session: &mut Session,
        console: &mut dyn FnMut(&[u8]),
    ) -> Result<Option<Ending>> {
        sleep(INTERVAL);
        // Whether it has ended is looked up first: what comes after that is read the next time.
        let command = format!(
            "[ -e {}.end ]; s=$?; tail -c +{} {} 2>/dev/null; exit $s",
            quote(&self.name),
            self.seen + 1,
            self.log()
        );
        let output = session.run(&command)?;
        if !output.bytes.is_empty() {
            console(&output.bytes);
            self.note(&output.bytes);
        }
        if output.status != 0 {
            return Ok(None);
        }
        let status = last_status(&self.tail);
        if status.is_none() && self.heard.elapsed() < SILENCE {
            return Ok(None);
        }
        let said = self.complaint(session)?;
        let Some(reason) = reason(&said) else {
            bail!("xl cannot create `{}`:\n{}", self.name, said.trim_end());
        };
        let without = if reason == Reason::Reboot { 0 } else { 1 };
        Ok(Some(Ending { status: status.unwrap_or(without), reason }))
    }

    fn note(&mut self, bytes: &[u8]) {
        self.seen += bytes.len();
        self.tail.extend_from_slice(bytes);
        self.tail.drain(..self.tail.len().saturating_sub(TAIL));
        self.heard = Instant::now();
    }

    /// What Xen and xl know of a guest that does not end: how much it has run within a second, the
    /// registers of its vCPU and what is on its stack, and its event channels.
    fn state(&self, session: &mut Session) -> String {
        let name = quote(&self.name);
        let command = format!(
            "xl vcpu-list {name}; sleep 1; xl vcpu-list {name}; id=$(xl domid {name}); \
             lsevtchn $id; xenctx $id | head -n 24"
        );
        session.run(&command).map_or_else(|error| format!("{error:#}"), |said| said.text())
    }

    /// As [`follow`](Self::follow) until the guest has ended. `console` is also given what Xen knows of
    /// one that does not.
    ///
    /// # Errors
    /// If that takes longer than `patience`, too.
    pub fn wait(
        &mut self,
        session: &mut Session,
        patience: Duration,
        console: &mut dyn FnMut(&[u8]),
    ) -> Result<Ending> {
        let start = Instant::now();
        loop {
            if let Some(ending) = self.follow(session, console)? {
                return Ok(ending);
            }
            if start.elapsed() >= patience {
                console(format!("\nXen says:\n{}\n", self.state(session)).as_bytes());
                bail!("it was still running after {} s", patience.as_secs());
            }
        }
    }

    /// Removes the guest, whatever it does. That it is not there is no error.
    ///
    /// The xl that watches it then ends, too, which is waited for: what that writes last would be taken
    /// for the words of the next guest of this name.
    ///
    /// # Errors
    /// If dom0 does not answer.
    pub fn destroy(self, session: &mut Session) -> Result<()> {
        let name = quote(&self.name);
        let ended = quote(&format!("until [ -e {name}.end ]; do sleep 0.05; done"));
        let patience = LAST_WORDS.as_secs();
        // An xl that still tries to make the guest does not end. That is what its caller complains of.
        session
            .run(&format!("xl destroy {name}; timeout {patience} sh -c {ended}"))
            .context("cannot end the guest")?;
        Ok(())
    }
}

/// The exit status in the last lines of a console.
pub(super) fn last_status(tail: &[u8]) -> Option<u8> {
    let text = String::from_utf8_lossy(tail);
    text.lines().rev().find_map(|line| line.trim().strip_prefix(STATUS)?.parse().ok())
}

/// The reason in what xl has said of a domain that it watched.
fn reason(said: &str) -> Option<Reason> {
    let (_, code) = said.split_once("has shut down, reason code ")?;
    Some(Reason::from_code(code.split_whitespace().next()?.parse().ok()?))
}

/// The file of dom0 into which xenconsoled writes what the guest of this name prints.
pub fn console_log(name: &str) -> String {
    format!("/var/log/xen/console/guest-{name}.log")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reason_is_what_xl_says() {
        let said = "Parsing config from g.cfg\nWaiting for domain g (domid 3) to die [pid 99]\n\
                    Domain 3 has shut down, reason code 3 0x3\nAction for shutdown reason code 3 is preserve\n";
        assert_eq!(reason(said), Some(Reason::Crash));
        assert_eq!(reason("Domain 1 has shut down, reason code 1 0x1\n"), Some(Reason::Reboot));
        assert_eq!(reason("libxl: error: cannot (re-)build domain: -3\n"), None);
    }

    #[test]
    fn the_exit_status_is_in_the_last_lines() {
        assert_eq!(last_status(b"hello\r\nmayfly: exit status 42\r\n"), Some(42));
        assert_eq!(last_status(b"mayfly: exit status 1\nmayfly: exit status 2"), Some(2));
        assert_eq!(last_status(b"the exit status is 7\n"), None);
        assert_eq!(last_status(b"\xff\xfe"), None);
    }
}
