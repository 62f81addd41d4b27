//! Which records are written.

use heapless::{String, Vec};
use log::{LevelFilter, Metadata};

/// Levels by module; the first match counts, `default` is for the rest.
pub(super) struct Filter {
    default: LevelFilter,
    modules: Vec<(String<32>, LevelFilter), 8>,
}

impl Filter {
    pub(super) const fn new(default: LevelFilter) -> Self {
        Self { default, modules: Vec::new() }
    }

    /// Reads `LEVEL` and `MODULE=LEVEL`, separated by commas, and returns the first part that is
    /// neither; the other parts count.
    pub(super) fn parse(text: &str) -> (Self, Option<&str>) {
        let mut filter = Self::new(LevelFilter::Info);
        let mut bad = None;
        for part in text.split(',').filter(|part| !part.is_empty()) {
            if filter.apply(part).is_none() {
                bad = bad.or(Some(part));
            }
        }
        (filter, bad)
    }

    fn apply(&mut self, part: &str) -> Option<()> {
        match part.split_once('=') {
            None => self.default = part.parse().ok()?,
            Some((module, level)) => {
                let level = level.parse().ok()?;
                let module = Some(module).filter(|module| !module.is_empty())?;
                let module = String::try_from(module).ok()?;
                self.modules.push((module, level)).ok()?;
            }
        }
        Some(())
    }

    /// The most verbose level that any module has.
    pub(super) fn most_verbose(&self) -> LevelFilter {
        self.modules.iter().map(|(_, level)| *level).fold(self.default, Ord::max)
    }

    /// Whether a record is to be written.
    pub(super) fn allows(&self, metadata: &Metadata<'_>) -> bool {
        let target = metadata.target();
        let matching = self.modules.iter().find(|(module, _)| {
            target
                .strip_prefix(module.as_str())
                .is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
                // Searching for a character, not a string, which is 6 KB of an image. What is
                // between the two is no segment, and no module is called that.
                || target.split(':').any(|segment| segment == module.as_str())
        });
        metadata.level() <= matching.map_or(self.default, |(_, level)| *level)
    }
}

#[cfg(test)]
mod tests {
    use log::Level;

    use super::*;

    fn allows(filter: &Filter, target: &str, level: Level) -> bool {
        filter.allows(&Metadata::builder().target(target).level(level).build())
    }

    #[test]
    fn modules_match_by_path_and_by_segment() {
        let (filter, bad) = Filter::parse("warn,net=debug,mayfly::block=trace");
        assert_eq!(bad, None);
        assert!(allows(&filter, "mayfly::net::tcp", Level::Debug));
        assert!(!allows(&filter, "mayfly::network", Level::Info));
        assert!(allows(&filter, "mayfly::block", Level::Trace));
        assert!(allows(&filter, "mayfly::block::disk", Level::Trace));
        assert!(!allows(&filter, "http", Level::Info));
        assert_eq!(filter.most_verbose(), LevelFilter::Trace);
    }

    #[test]
    fn a_bad_part_is_named_and_the_rest_counts() {
        let (filter, bad) = Filter::parse("loud,debug,net=");
        assert_eq!(bad, Some("loud"));
        assert!(allows(&filter, "x", Level::Debug));
    }

    #[test]
    fn nothing_means_info() {
        let (filter, bad) = Filter::parse("");
        assert_eq!(bad, None);
        assert!(allows(&filter, "x", Level::Info) && !allows(&filter, "x", Level::Debug));
    }
}
