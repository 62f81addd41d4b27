//! The console of a guest, with places in the source added as the lines go by.

use std::io::{self, Write};
use std::path::PathBuf;

use super::{Annotator, DebugInfo};
use crate::run::Console;
use crate::ui;

/// Shows what a guest prints, and below each line of a backtrace where that is in the source.
pub struct Symbolized {
    elf: PathBuf,
    line: Vec<u8>,
    annotator: Option<Annotator>,
    gave_up: bool,
}

impl Symbolized {
    /// A console for the image whose debug information is in the file `elf`.
    pub fn new(elf: PathBuf) -> Self {
        Self { elf, line: Vec::new(), annotator: None, gave_up: false }
    }

    /// What is to be added below the line that has just ended.
    fn annotation(&mut self) -> String {
        let line = String::from_utf8_lossy(&self.line).into_owned();
        // Most guests never print an address, so their debug information is not even read.
        if self.annotator.is_none() && !self.gave_up && line.contains("0x") {
            match DebugInfo::load(&self.elf) {
                Ok(debug_info) => self.annotator = Some(Annotator::new(debug_info)),
                Err(error) => {
                    ui::warning(format_args!("no source lines: {error:#}"));
                    self.gave_up = true;
                }
            }
        }
        self.annotator.as_mut().map(|annotator| annotator.annotate(&line)).unwrap_or_default()
    }
}

impl Console for Symbolized {
    fn bytes(&mut self, bytes: &[u8]) {
        let mut out = io::stdout().lock();
        for part in bytes.split_inclusive(|&byte| byte == b'\n') {
            out.write_all(part).ok();
            self.line.extend_from_slice(part);
            if part.ends_with(b"\n") {
                out.write_all(self.annotation().as_bytes()).ok();
                self.line.clear();
            }
        }
        // A prompt has no line end. A closed pipe is no reason to stop the guest.
        out.flush().ok();
    }
}
