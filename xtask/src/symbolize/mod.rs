//! `symbolize`: source files and lines for the addresses in a fault report.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Write};
use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::Args;

use crate::ui;

mod console;
mod debug_info;
mod report;

pub use console::Symbolized;
pub use debug_info::{DebugInfo, Place};
pub use report::Annotator;

/// Adds source files and lines to the addresses in a fault report.
#[derive(Args)]
#[command(after_help = "Examples:
  cargo xtask symbolize target/mayfly/x86_64/dev/http report.txt
  xl dmesg | cargo xtask symbolize myapp.elf -

The image must be the very one that printed the report: each build has addresses of its own.
`cargo xtask run` does this by itself.")]
pub struct Options {
    /// The image, or the .elf file beside it.
    image: PathBuf,
    /// The file with the report; standard input if it is - or left out.
    #[arg(default_value = "-")]
    report: PathBuf,
}

impl Options {
    /// Copies the report to standard output, with the lines added.
    pub fn execute(&self) -> Result<u8> {
        let mut elf = self.image.clone();
        if elf.extension().is_none_or(|extension| extension != "elf") {
            elf.as_mut_os_string().push(".elf");
        }
        let mut annotator = Annotator::new(DebugInfo::load(&elf)?);
        let report: Box<dyn BufRead> = if self.report.as_os_str() == "-" {
            Box::new(io::stdin().lock())
        } else {
            let file = File::open(&self.report)
                .with_context(|| format!("cannot open {}", self.report.display()))?;
            Box::new(BufReader::new(file))
        };
        let mut out = io::stdout().lock();
        for line in report.split(b'\n') {
            let line = line?;
            out.write_all(&line)?;
            out.write_all(b"\n")?;
            out.write_all(annotator.annotate(&String::from_utf8_lossy(&line)).as_bytes())?;
        }
        if annotator.added == 0 {
            ui::warning(format_args!(
                "nothing was added: no line tells of an address in the code of {}; give the very \
                 image that printed the report",
                elf.display()
            ));
        }
        Ok(0)
    }
}
