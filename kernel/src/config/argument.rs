//! What an app says about one of its keys.

use super::SYSTEM_KEYS;

/// The app whose arguments these are: its package name, version and description.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct App {
    /// Name of the package.
    pub name: &'static str,
    /// Version of the package.
    pub version: &'static str,
    /// Description of the package, in a sentence.
    pub about: &'static str,
}

/// How often a key may be given, and with what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Takes {
    /// `key=value`, at most once.
    Value,
    /// `key`, `key=yes` or `key=no`, at most once.
    Flag,
    /// `key=value,value`, any number of times.
    List,
}

impl Takes {
    /// The word for it in the image's description.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Value => "value",
            Self::Flag => "flag",
            Self::List => "list",
        }
    }
}

/// One key of an app.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Argument {
    /// Its name.
    pub key: &'static str,
    /// What comes with it.
    pub takes: Takes,
    /// What a value looks like: "a whole number from 0 to 65535".
    pub expects: &'static str,
    /// The value when it is not given, as text.
    pub default: Option<&'static str>,
    /// It must be given.
    pub required: bool,
    /// What it is for.
    pub help: &'static str,
}

/// Whether two keys are the same; `-` and `_` are.
pub(super) const fn same_key(a: &str, b: &str) -> bool {
    let (a, b) = (a.as_bytes(), b.as_bytes());
    if a.len() != b.len() {
        return false;
    }
    let mut i = 0;
    while i < a.len() {
        let dashes = is_dash(a[i]) && is_dash(b[i]);
        if a[i] != b[i] && !dashes {
            return false;
        }
        i += 1;
    }
    true
}

const fn is_dash(byte: u8) -> bool {
    byte == b'-' || byte == b'_'
}

/// Checks at compile time that an app may have a key of this name.
///
/// # Panics
/// The name belongs to the system, or it could not be written on a command line.
pub const fn check_key(key: &str) {
    let bytes = key.as_bytes();
    assert!(!bytes.is_empty() && !is_dash(bytes[0]), "a boot argument's name starts with a letter");
    let mut i = 0;
    while i < bytes.len() {
        let fine = bytes[i].is_ascii_alphanumeric() || is_dash(bytes[i]);
        assert!(fine, "a boot argument's name consists of letters, digits, `-` and `_`");
        i += 1;
    }
    assert!(!same_key(key, "help"), "`help` prints the help text; choose another name");
    let mut i = 0;
    while i < SYSTEM_KEYS.len() {
        let (system, _) = SYSTEM_KEYS[i];
        assert!(!same_key(key, system), "this name is a key of the system; choose another");
        i += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dashes_and_underscores_are_the_same() {
        assert!(same_key("max-size", "max_size"));
        assert!(!same_key("max-size", "maxsize") && !same_key("a-b", "a.b"));
    }

    #[test]
    fn names_that_an_app_cannot_have_are_refused() {
        check_key("port");
        check_key("tls-key_file2");
        for bad in ["", "-a", "help", "ip", "a=b", "a b", "net1.ip"] {
            assert!(std::panic::catch_unwind(|| check_key(bad)).is_err(), "{bad}");
        }
    }
}
