//! The guest: a device of it, of which both sides' nodes are written here, and what its agent says
//! (tests/guests/src/bin/hostile_agent.rs).

use std::cell::Cell;
use std::error::Error;
use std::process::Command;
use std::thread::sleep;
use std::time::{Duration, Instant};

use backends::xen::Channel;

use crate::store::Store;

/// What comes of something, or why it fails.
pub type Outcome<T = ()> = Result<T, Box<dyn Error>>;

/// How long the guest may take for anything.
const PATIENCE: Duration = Duration::from_secs(20);
/// How long to wait before looking again.
const INTERVAL: Duration = Duration::from_millis(1);

/// Waits until there is something.
pub fn until<T>(what: &str, mut look: impl FnMut() -> Outcome<Option<T>>) -> Outcome<T> {
    let start = Instant::now();
    loop {
        if let Some(found) = look()? {
            return Ok(found);
        }
        if start.elapsed() > PATIENCE {
            return Err(format!("{what} does not come in {} s", PATIENCE.as_secs()).into());
        }
        sleep(INTERVAL);
    }
}

/// A guest.
pub struct Guest {
    /// XenStore.
    pub store: Store,
    /// The number of its domain.
    pub domain: u16,
    questions: Cell<u32>,
}

impl Guest {
    /// The guest in this domain.
    pub fn new(domain: u16) -> Outcome<Self> {
        Ok(Self { store: Store::open()?, domain, questions: Cell::new(0) })
    }

    fn home(&self) -> String {
        format!("/local/domain/{}", self.domain)
    }

    /// Where back ends are here: not where the drivers of dom0 look for theirs.
    fn yard(&self) -> String {
        format!("/local/domain/0/hostile/{}", self.domain)
    }

    /// Asks the agent.
    pub fn ask(&self, question: &str) -> Outcome<String> {
        let count = self.questions.get() + 1;
        self.questions.set(count);
        let (command, answer) =
            (format!("{}/data/command", self.home()), format!("{}/data/answer", self.home()));
        if count == 1 {
            until("the agent", || Ok(self.store.read(&answer)?))?;
        }
        self.store.write(&command, format!("{count} {question}").as_bytes())?;
        until(&format!("an answer to `{question}`"), || {
            let text = self.store.text(&answer)?;
            Ok(text.strip_prefix(&format!("{count} ")).map(str::to_owned))
        })
    }

    /// Has the daemon of XenStore tell the guest of something, which changes nothing.
    pub fn wake(&self) -> Outcome {
        let target = format!("{}/memory/target", self.home());
        let value = self.store.read(&target)?.unwrap_or_default();
        Ok(self.store.write(&target, &value)?)
    }

    /// Makes the front ends' directories of devices, of which there are no back ends yet.
    pub fn prepare(&self, class: &str, numbers: impl Iterator<Item = usize>) -> Outcome {
        let (owner, reader) = (format!("n{}", self.domain), format!("r{}", self.domain));
        self.store.remove(&self.yard())?;
        self.store.write(&self.yard(), b"")?;
        self.store.permit(&self.yard(), ["n0", &reader])?;
        for number in numbers {
            let front = format!("{}/device/{class}/{number}", self.home());
            self.store.write(&front, b"")?;
            self.store.permit(&front, [&owner, "r0"])?;
            // Below it all belongs to the guest, and so this.
            self.store.write(&format!("{front}/state"), b"1")?;
        }
        Ok(())
    }

    /// Removes all back ends.
    pub fn clear(&self) -> Outcome {
        Ok(self.store.remove(&self.yard())?)
    }

    /// Seconds of a processor that the guest has used, as xl tells.
    pub fn seconds(&self) -> Outcome<f64> {
        let (_, seconds) = self.listed()?;
        seconds.parse().map_err(|_| format!("xl list gives its time as {seconds}").into())
    }

    /// Whether its processor sleeps, and no event has come to wake it.
    pub fn is_blocked(&self) -> Outcome<bool> {
        Ok(self.listed()?.0.contains('b'))
    }

    /// State and time of the guest in `xl list`, the last of its columns.
    fn listed(&self) -> Outcome<(String, String)> {
        let output = Command::new("xl").args(["list", &self.domain.to_string()]).output()?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let mut columns = text.split_whitespace().rev().map(str::to_owned);
        match (columns.next(), columns.next()) {
            (Some(seconds), Some(state)) => Ok((state, seconds)),
            _ => Err(format!("xl list says: {text}").into()),
        }
    }

    /// A device, whose back end does not exist yet.
    pub fn device(&self, class: &str, index: usize, number: usize) -> Device<'_> {
        Device {
            guest: self,
            index,
            front: format!("{}/device/{class}/{number}", self.home()),
            back: format!("{}/{class}/{number}", self.yard()),
            channel: None,
        }
    }
}

/// A device.
pub struct Device<'a> {
    pub guest: &'a Guest,
    /// By which the agent knows it.
    pub index: usize,
    /// The directories of the front end and of the back end.
    pub front: String,
    pub back: String,
    channel: Option<Channel>,
}

impl Device<'_> {
    /// Sets a node of the back end.
    pub fn put(&self, name: &str, value: impl AsRef<[u8]>) -> Outcome {
        Ok(self.guest.store.write(&format!("{}/{name}", self.back), value.as_ref())?)
    }

    /// Sets a node of the front end that the tools write.
    pub fn put_front(&self, name: &str, value: impl AsRef<[u8]>) -> Outcome {
        Ok(self.guest.store.write(&format!("{}/{name}", self.front), value.as_ref())?)
    }

    /// A node of the front end.
    pub fn front(&self, name: &str) -> Outcome<String> {
        Ok(self.guest.store.text(&format!("{}/{name}", self.front))?)
    }

    /// A node of the front end that is a number.
    pub fn number(&self, name: &str) -> Outcome<u32> {
        let text = self.front(name)?;
        text.parse().map_err(|_| format!("the front end's {name} is `{text}`").into())
    }

    /// Connects with the event channel of the front end.
    pub fn bind(&mut self) -> Outcome {
        self.channel = Some(Channel::bind(self.guest.domain, self.number("event-channel")?)?);
        Ok(())
    }

    /// Closes the event channel.
    pub fn hang_up(&mut self) {
        self.channel = None;
    }

    /// Sends an event, if there is an event channel.
    pub fn notify(&self) {
        if let Some(channel) = &self.channel {
            channel.notify();
        }
    }

    /// Writes the nodes of a back end that waits for the front end.
    pub fn offer(&self, nodes: &[(&str, &str)]) -> Outcome {
        for (name, value) in nodes {
            self.put(name, value)?;
        }
        self.put("online", "1")?;
        self.put("state", "2")
    }

    /// Leads the front end to the back end, or where it is to be led instead.
    pub fn lead(&self, instead: &[(&str, &[u8])]) -> Outcome {
        let usual: [(&str, &[u8]); 2] = [("backend-id", b"0"), ("backend", self.back.as_bytes())];
        let is_left = |name: &str| instead.iter().all(|(other, _)| *other != name);
        for (name, value) in usual.iter().filter(|(name, _)| is_left(name)).chain(instead) {
            self.put_front(name, value)?;
        }
        Ok(())
    }

    /// Waits for a state of the front end.
    pub fn until_state(&self, state: &str) -> Outcome {
        let reached =
            until(&format!("state {state}"), || Ok((self.front("state")? == state).then_some(())));
        self.explained(reached)
    }

    /// Waits until the front end has published its rings. It may end once more before that, because
    /// of a state that it has seen late: Linux' back ends close then, too, and begin when it does.
    pub fn until_published(&self) -> Outcome {
        let mut is_closed = false;
        let published = until("state 4", || {
            let state = self.front("state")?;
            match (&*state, is_closed) {
                ("6", false) => self.put("state", "6")?,
                ("1", true) => self.put("state", "2")?,
                _ => return Ok((state == "4").then_some(())),
            }
            is_closed = !is_closed;
            Ok(None)
        });
        self.explained(published)
    }

    fn explained(&self, reached: Outcome) -> Outcome {
        let Err(error) = reached else { return Ok(()) };
        let (front, status) = (self.front("state")?, self.status()?);
        Err(format!("{error}: the front end is in {front}, its user says: {status}").into())
    }

    /// What has become of it so far, as the agent says.
    pub fn status(&self) -> Outcome<String> {
        self.guest.ask(&format!("how {}", self.index))
    }

    /// Waits until it has ended with an error that has these words.
    pub fn ends(&self, words: &str) -> Outcome {
        let status =
            until("the end", || Ok(Some(self.status()?).filter(|s| s.starts_with("ended"))))?;
        if status.contains(words) {
            return Ok(());
        }
        Err(format!("it does not end with `{words}`: {status}").into())
    }

    /// Makes sure that it waits, and has not ended.
    pub fn waits(&self) -> Outcome {
        let status = self.status()?;
        if status.starts_with("ended") { Err(status.into()) } else { Ok(()) }
    }

    /// How much has worked so far.
    pub fn count(&self) -> Outcome<u32> {
        let status = self.status()?;
        match status.strip_prefix("works ") {
            Some(count) => Ok(count.parse()?),
            None if status.starts_with("ended") => Err(status.into()),
            None => Ok(0),
        }
    }
}
