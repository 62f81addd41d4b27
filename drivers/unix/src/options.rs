//! The arguments of the process: its devices, and then the guest's boot arguments.

use std::{ffi::OsString, fmt};

use mayfly_arch::{HostDevice, HostLink};

/// How a process is called, for `--mayfly-help`.
pub const USAGE: &str = "\
Usage: APP [OPTION]... [--] [BOOT ARGUMENT]...

  --mayfly-net tap:NAME[,mac=MAC]     network device on a TAP interface
  --mayfly-net passt:PATH[,mac=MAC]   network device on the socket of a running passt
  --mayfly-net fd:NUMBER[,mac=MAC]    the same on an inherited, connected socket
  --mayfly-disk FILE[,ro]             disk in a file; may be repeated, like --mayfly-net
  --mayfly-memory MIB                 most memory that the process may use, 64 if not given
  --mayfly-help                       print this text and end

Everything else is the guest's command line: --help prints the app's own boot arguments.
";

/// Memory of the machine in MiB if none is asked for.
const DEFAULT_MEMORY: usize = 64;

/// What the arguments of the process say.
#[derive(Debug, PartialEq, Eq)]
pub struct Options {
    /// The devices, in the order in which they were given.
    pub devices: Vec<HostDevice>,
    /// Memory of the machine, in MiB.
    pub memory: usize,
    /// The guest's command line.
    pub command_line: String,
}

/// What is wrong with the arguments of the process.
#[derive(Debug, PartialEq, Eq)]
pub enum UsageError {
    /// Nothing: they ask for [`USAGE`].
    Help,
    /// An option that there is not.
    Unknown(String),
    /// An option without its value.
    NoValue(&'static str),
    /// An option with a value that cannot be read.
    Invalid {
        /// The option.
        option: &'static str,
        /// Its value.
        value: String,
    },
    /// An argument that is not UTF-8.
    NotUtf8(OsString),
}

impl fmt::Display for UsageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Help => return f.write_str(USAGE),
            Self::Unknown(option) => write!(f, "unknown option {option}")?,
            Self::NoValue(option) => write!(f, "{option} needs a value")?,
            Self::Invalid { option, value } => write!(f, "{option} cannot be {value}")?,
            Self::NotUtf8(argument) => write!(f, "{} is not UTF-8", argument.display())?,
        }
        f.write_str("; --mayfly-help prints what there is")
    }
}

impl std::error::Error for UsageError {}

impl Options {
    /// Reads the arguments of the process, without its name.
    ///
    /// Names of files and interfaces are kept for as long as the process runs.
    ///
    /// # Errors
    /// An option is unknown or its value cannot be read; boot arguments are not looked at.
    pub fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Self, UsageError> {
        let mut options =
            Self { devices: Vec::new(), memory: DEFAULT_MEMORY, command_line: String::new() };
        let mut arguments = arguments.into_iter();
        let mut only_boot_arguments = false;
        while let Some(argument) = arguments.next() {
            let argument = argument.into_string().map_err(UsageError::NotUtf8)?;
            match argument.strip_prefix("--mayfly-") {
                Some(option) if !only_boot_arguments => options.option(option, &mut arguments)?,
                _ if argument == "--" && !only_boot_arguments => only_boot_arguments = true,
                _ => append_word(&mut options.command_line, &argument),
            }
        }
        Ok(options)
    }

    /// One option, named without `--mayfly-`, whose value follows it or its `=`.
    fn option(
        &mut self,
        option: &str,
        rest: &mut impl Iterator<Item = OsString>,
    ) -> Result<(), UsageError> {
        let (name, value) = match option.split_once('=') {
            Some((name, value)) => (name, Some(value.to_owned())),
            None => (option, None),
        };
        let mut value = |option| match value.clone() {
            Some(value) => Ok(value),
            None => rest
                .next()
                .ok_or(UsageError::NoValue(option))?
                .into_string()
                .map_err(UsageError::NotUtf8),
        };
        match name {
            "net" => self.devices.push(net(value("--mayfly-net")?)?),
            "disk" => self.devices.push(disk(value("--mayfly-disk")?)),
            "memory" => {
                let (option, value) = ("--mayfly-memory", value("--mayfly-memory")?);
                let size = value.parse().ok().filter(|size| (1..=65536).contains(size));
                self.memory = size.ok_or(UsageError::Invalid { option, value })?;
            }
            "help" => return Err(UsageError::Help),
            _ => return Err(UsageError::Unknown(format!("--mayfly-{option}"))),
        }
        Ok(())
    }
}

fn disk(value: String) -> HostDevice {
    let value: &'static str = value.leak();
    match value.strip_suffix(",ro") {
        Some(path) => HostDevice::Disk { path, read_only: true },
        None => HostDevice::Disk { path: value, read_only: false },
    }
}

fn net(value: String) -> Result<HostDevice, UsageError> {
    let value: &'static str = value.leak();
    let invalid = || UsageError::Invalid { option: "--mayfly-net", value: value.to_owned() };
    let (link, mac) = match value.split_once(",mac=") {
        Some((link, mac)) => (link, parse_mac(mac).ok_or_else(invalid)?),
        None => (value, default_mac(value)),
    };
    let link = match link.split_once(':') {
        Some(("tap", name)) if !name.is_empty() && name.len() < 16 => HostLink::Tap(name),
        Some(("passt", path)) if !path.is_empty() => HostLink::Socket(path),
        Some(("fd", number)) => HostLink::Descriptor(
            number.parse().ok().filter(|number| *number >= 0).ok_or_else(invalid)?,
        ),
        _ => return Err(invalid()),
    };
    Ok(HostDevice::Net { link, mac })
}

fn parse_mac(text: &str) -> Option<[u8; 6]> {
    let mut mac = [0; 6];
    let mut parts = text.split(':');
    for byte in &mut mac {
        *byte = u8::from_str_radix(parts.next().filter(|part| part.len() == 2)?, 16).ok()?;
    }
    let unicast = mac.first().is_some_and(|first| first & 1 == 0);
    (parts.next().is_none() && unicast).then_some(mac)
}

/// A locally administered address that is the same at every run and differs between links: 02:4d
/// and the FNV-1a hash of the link's name.
fn default_mac(link: &str) -> [u8; 6] {
    let hash = link
        .bytes()
        .fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
    let [a, b, c, d] = hash.to_be_bytes();
    [0x02, 0x4d, a, b, c, d]
}

/// Adds a word to a command line so that the guest reads it back as one.
fn append_word(line: &mut String, word: &str) {
    if !line.is_empty() {
        line.push(' ');
    }
    let plain = |c: char| !c.is_ascii_whitespace() && !matches!(c, '\'' | '"' | '\\' | '\0');
    if !word.is_empty() && word.chars().all(plain) {
        line.push_str(word);
    } else {
        line.push('\'');
        line.push_str(&word.replace('\'', r"'\''"));
        line.push('\'');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(arguments: &[&str]) -> Result<Options, UsageError> {
        Options::parse(arguments.iter().map(OsString::from))
    }

    #[test]
    fn devices_and_boot_arguments_are_told_apart() {
        let options = parse(&[
            "--mayfly-net",
            "tap:tap0,mac=02:00:00:00:00:01",
            "port=80",
            "--mayfly-disk=a.img,ro",
            "name=a b",
            "--mayfly-disk",
            "b.img",
            "--",
            "--mayfly-net",
            "it's",
        ]);
        let mac = [2, 0, 0, 0, 0, 1];
        let expected = Options {
            devices: vec![
                HostDevice::Net { link: HostLink::Tap("tap0"), mac },
                HostDevice::Disk { path: "a.img", read_only: true },
                HostDevice::Disk { path: "b.img", read_only: false },
            ],
            memory: 64,
            command_line: r"port=80 'name=a b' --mayfly-net 'it'\''s'".to_owned(),
        };
        assert_eq!(options, Ok(expected));
    }

    #[test]
    fn wrong_options_are_named() {
        let text = |arguments: &[&str]| parse(arguments).expect_err("refused").to_string();
        assert!(text(&["--mayfly-foo"]).contains("--mayfly-foo"));
        assert!(text(&["--mayfly-net"]).contains("needs a value"));
        for bad in
            ["tap", "tap:", "fd:-1", "fd:x", "user", "tap:a,mac=1:2", "tap:a,mac=01:00:00:00:00:00"]
        {
            assert!(text(&["--mayfly-net", bad]).contains(bad), "{bad}");
        }
        assert!(text(&["--mayfly-memory=0"]).contains("cannot be 0"));
        assert_eq!(text(&["--mayfly-help"]), USAGE);
    }

    #[test]
    fn default_addresses_are_unicast_and_differ() {
        let (first, second) = (default_mac("tap:a"), default_mac("tap:b"));
        assert_ne!(first, second);
        assert_eq!(first[0] & 3, 2);
    }
}
