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

/// Where explanations start at least, behind two spaces.
const COLUMN: usize = 18;

impl fmt::Display for Help {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.app.name, self.app.version)?;
        if !self.app.about.is_empty() {
            write!(f, ": {}", self.app.about)?;
        }
        f.write_str("\n\nBoot arguments:\n")?;
        let longest = self.arguments.iter().map(|of| of.key.len() + form(of.takes).len() + 1).max();
        let column = longest.unwrap_or(0).max(COLUMN);
        for argument in self.arguments {
            line(f, argument, column)?;
        }
        writeln!(f, "  {:column$}Print this text and end.", "--help")?;
        f.write_str("\nKeys of the system:")?;
        SYSTEM_KEYS.iter().try_for_each(|(key, _)| write!(f, " {key}="))?;
        f.write_str("\n")
    }
}

/// What follows a key.
fn form(takes: Takes) -> &'static str {
    match takes {
        Takes::Value => "=VALUE",
        Takes::Flag => "",
        Takes::List => "=VALUE,...",
    }
}

fn line(f: &mut fmt::Formatter<'_>, argument: &Argument, column: usize) -> fmt::Result {
    let Argument { key, takes, expects, default, required, help } = argument;
    let value = form(*takes);
    let pad = column.saturating_sub(key.len() + value.len());
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

#[cfg(test)]
mod tests {
    use super::*;

    fn argument(key: &'static str, takes: Takes) -> Argument {
        Argument { key, takes, expects: "x", default: None, required: false, help: "What it is." }
    }

    #[test]
    fn explanations_are_in_one_column() {
        static APP: App = App { name: "app", version: "1", about: "" };
        let list = argument("a-key-that-is-long", Takes::List);
        for (arguments, column) in [
            (vec![argument("port", Takes::Value)], 20),
            (vec![list, argument("q", Takes::Flag)], 31),
        ] {
            let help = Help { app: &APP, arguments: arguments.leak() }.to_string();
            let lines: Vec<_> = help.lines().filter(|line| line.starts_with("  ")).collect();
            for line in &lines {
                let at = line.find("What").or(line.find("Print"));
                assert_eq!(at, Some(column), "{line}");
            }
        }
    }
}
