//! The help text.

use core::fmt;

use super::{App, Argument, SYSTEM_KEYS, Takes};

/// An app's help text, which it displays as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Help {
    /// The app.
    pub app: &'static App,
    /// Its keys.
    pub arguments: &'static [Argument],
}

/// Column in which explanations start.
const COLUMN: usize = 18;

impl fmt::Display for Help {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.app.name, self.app.version)?;
        if !self.app.about.is_empty() {
            write!(f, ": {}", self.app.about)?;
        }
        f.write_str("\n\nBoot arguments:\n")?;
        for argument in self.arguments {
            line(f, argument)?;
        }
        f.write_str("  --help            Print this text and end.\n\nKeys of the system:")?;
        SYSTEM_KEYS.iter().try_for_each(|(key, _)| write!(f, " {key}="))?;
        f.write_str("\n")
    }
}

fn line(f: &mut fmt::Formatter<'_>, argument: &Argument) -> fmt::Result {
    let Argument { key, takes, expects, default, required, help } = argument;
    let value = match takes {
        Takes::Value => "=VALUE",
        Takes::Flag => "",
        Takes::List => "=VALUE,...",
    };
    let pad = COLUMN.saturating_sub(key.len() + value.len()).max(1);
    write!(f, "  {key}{value}{:pad$}{help}", "")?;
    if !help.is_empty() {
        f.write_str(" ")?;
    }
    match (default, required) {
        (Some(default), _) => writeln!(f, "[{expects}; default: {default}]"),
        (None, true) => writeln!(f, "[{expects}; required]"),
        (None, false) => writeln!(f, "[{expects}]"),
    }
}
