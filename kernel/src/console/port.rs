//! A console device on its way through the output.

use alloc::boxed::Box;

use mayfly_device::ConsoleDevice;

use super::output::{Note, Place, SharedOutput};

/// Bytes that are shown at a time.
const CHUNK: usize = 64;

/// A device and its place in the output.
pub(super) struct Port {
    pub(super) device: Box<dyn ConsoleDevice>,
    place: Place,
    /// The one that it shows of what it has missed.
    note: Note,
}

impl Port {
    /// A device that begins with what the others have not all shown.
    pub(super) fn new(device: Box<dyn ConsoleDevice>, output: &SharedOutput) -> Self {
        let shown = output.text.with(|text| text.start());
        Self { device, place: Place { shown, missed: 0 }, note: Note::EMPTY }
    }

    /// How far it has come.
    pub(super) fn place(&self) -> Place {
        self.place
    }

    /// What is up to there has been shown by other means.
    pub(super) fn was_shown(&mut self, place: Place) {
        if place.shown > self.place.shown {
            (self.place, self.note) = (place, Note::EMPTY);
        }
    }

    /// Shows as much of the next output as the device takes right now, a chunk at most; how much.
    pub(super) fn show(&mut self, output: &SharedOutput) -> usize {
        if self.place.missed > 0 || !self.note.rest().is_empty() {
            return self.show_note();
        }
        let mut bytes = [0; CHUNK];
        let count = output.text.with(|text| text.peek(self.place.shown, &mut bytes));
        let Some(chunk) = bytes.get(..count).filter(|chunk| !chunk.is_empty()) else { return 0 };
        let moved = self.device.write(chunk).min(count);
        self.place.shown += moved as u64;
        moved
    }

    /// Shows as much as the device takes of a note of what it has missed.
    fn show_note(&mut self) -> usize {
        let is_begun = !self.note.rest().is_empty();
        if !is_begun {
            self.note = Note::new(self.place.missed);
        }
        let rest = self.note.rest();
        let count = self.device.write(rest).min(rest.len());
        match (is_begun, count) {
            // It may miss more before it takes any of that.
            (false, 0) => self.note = Note::EMPTY,
            (false, _) => self.place.missed = 0,
            (true, _) => {}
        }
        self.note.advance(count);
        count
    }

    /// Whether it has something to show, where the output is at `end`.
    pub(super) fn is_behind(&self, end: u64) -> bool {
        self.place.shown < end || self.place.missed > 0 || !self.note.rest().is_empty()
    }

    /// Goes on further on. Returns how many bytes it misses so.
    pub(super) fn skip_to(&mut self, shown: u64) -> u64 {
        let missed = shown.saturating_sub(self.place.shown);
        self.place = Place { shown, missed: self.place.missed + missed };
        missed
    }
}
