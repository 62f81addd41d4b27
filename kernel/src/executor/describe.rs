//! What the fault report says about tasks.

use core::{fmt, panic::Location};

/// What a task waits for, in words: a text with a placeholder for one number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Awaiting {
    text: &'static str,
    number: u64,
}

impl Awaiting {
    pub(super) const NOTHING_KNOWN: Self = Self::new("an event", 0);

    /// `text`, in which `{}` stands for `number` and `{time}` for `number` as nanoseconds,
    /// printed in seconds.
    pub const fn new(text: &'static str, number: u64) -> Self {
        Self { text, number }
    }
}

impl fmt::Display for Awaiting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Searching for a character, not a string: the search for strings is 6 KB of an image.
        let Some((before, rest)) = self.text.split_once('{') else {
            return f.write_str(self.text);
        };
        let (what, after) = rest.split_once('}').unwrap_or((rest, ""));
        if what == "time" {
            let milliseconds = self.number / 1_000_000;
            write!(f, "{before}{}.{:03} s{after}", milliseconds / 1000, milliseconds % 1000)
        } else {
            write!(f, "{before}{}{after}", self.number)
        }
    }
}

/// What a task is called: the name it was spawned with, or where it was spawned.
#[derive(Clone, Copy, Debug)]
pub enum TaskName {
    /// From [`spawn_named`](super::spawn_named).
    Named(&'static str),
    /// Place of the call of [`spawn`](super::spawn).
    SpawnedAt(&'static Location<'static>),
}

impl fmt::Display for TaskName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Named(name) => f.write_str(name),
            Self::SpawnedAt(place) => write!(f, "task of {}:{}", place.file(), place.line()),
        }
    }
}

/// What a task does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TaskState {
    /// It runs at this moment.
    Running,
    /// It was woken and has not run since.
    Ready,
    /// It waits.
    Waiting(Awaiting),
    /// It has ended, and its result was not taken yet.
    Finished,
}

/// One task, for reports. Its `Display` is a line such as `#3 web server: waits for tcp accept
/// :80 (polled 7 times)`.
#[derive(Clone, Copy, Debug)]
pub struct TaskInfo {
    /// Number of the task; used again after its end.
    pub number: u32,
    /// What it is called.
    pub name: TaskName,
    /// What it does.
    pub state: TaskState,
    /// How often it was polled, modulo 2³².
    pub polls: u32,
}

impl fmt::Display for TaskInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "#{} {}: ", self.number, self.name)?;
        match self.state {
            TaskState::Running => f.write_str("running")?,
            TaskState::Ready => f.write_str("ready to run")?,
            TaskState::Waiting(awaiting) => write!(f, "waits for {awaiting}")?,
            TaskState::Finished => f.write_str("finished, result not taken")?,
        }
        write!(f, " (polled {} times)", self.polls)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn placeholders_are_filled_in() {
        assert_eq!(Awaiting::new("tcp accept :{}", 80).to_string(), "tcp accept :80");
        assert_eq!(
            Awaiting::new("sleep until {time}", 12_345_678_900).to_string(),
            "sleep until 12.345 s"
        );
        assert_eq!(Awaiting::new("channel receive", 0).to_string(), "channel receive");
    }
}
