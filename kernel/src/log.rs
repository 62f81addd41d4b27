//! The log: the `log` crate's macros, levels by module from the boot arguments, and the last
//! lines kept for the fault report.
//!
//! `log=info` sets the level of everything, `log=warn,net=debug,mayfly::block=trace` that of
//! modules: a name matches the path of a module or one of its segments.

use log::{LevelFilter, Metadata, Record};
use mayfly_arch::{IrqLock, clock};

/// The log macros, so that an app needs no dependency of its own on the `log` crate.
pub use log::{debug, error, info, trace, warn};

mod filter;
mod history;

use filter::Filter;
use history::History;

use crate::console::write_in_pieces;

static FILTER: IrqLock<Filter> = IrqLock::new(Filter::new(LevelFilter::Info));
static HISTORY: IrqLock<History> = IrqLock::new(History::new());
static LOGGER: Logger = Logger;

/// Installs the logger with the levels that `log=` of the boot arguments asks for. What is wrong
/// with them is reported in the log.
pub(crate) fn init(levels: Option<&str>) {
    let (filter, bad) = Filter::parse(levels.unwrap_or_default());
    let most_verbose = filter.most_verbose();
    FILTER.with(|current| *current = filter);
    // A second logger cannot be there: the kernel starts once. In host tests it may, and then the
    // first one stays.
    let _ = log::set_logger(&LOGGER);
    log::set_max_level(most_verbose);
    if let Some(bad) = bad {
        warn!(
            "boot argument log: `{bad}` is not off, error, warn, info, debug, trace or MODULE=LEVEL"
        );
    }
}

/// Calls `visit` with the pieces of the last log lines, oldest first; nothing if the log is being
/// written at this moment, by whom the report interrupted.
#[cfg_attr(not(target_os = "none"), expect(dead_code, reason = "a process writes no report"))]
pub(crate) fn history(mut visit: impl FnMut(&[u8])) {
    let _ = HISTORY.try_with(|history| history.pieces().into_iter().for_each(&mut visit));
}

struct Logger;

impl log::Log for Logger {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        FILTER.with(|filter| filter.allows(metadata))
    }

    fn log(&self, record: &Record<'_>) {
        if !self.enabled(record.metadata()) {
            return;
        }
        let micros = clock::now() / 1_000;
        let (seconds, micros) = (micros / 1_000_000, micros % 1_000_000);
        let (level, target) = (record.level(), record.target());
        let line =
            format_args!("[{seconds:4}.{micros:06}] {level:5} {target}: {}\n", record.args());
        // What an app has to show may fail to be shown; the rest of the line is there.
        let _ = write_in_pieces(line, show);
    }

    fn flush(&self) {}
}

/// Sends text to the console, which never blocks, and to the history.
fn show(text: &str) {
    HISTORY.with(|history| history.push(text));
    crate::console::write(text.as_bytes());
}
