//! What can go wrong when a device of the host is opened.

use std::{fmt, io};

/// Why a device could not be opened.
#[derive(Debug)]
pub enum OpenError {
    /// The TAP interface.
    Tap {
        /// Its name.
        name: String,
        /// What the host said.
        error: io::Error,
    },
    /// The socket to passt.
    Socket {
        /// Its name.
        name: String,
        /// What the host said.
        error: io::Error,
    },
    /// The inherited socket.
    Descriptor {
        /// Its number.
        number: i32,
        /// What the host said.
        error: io::Error,
    },
    /// The file of a disk.
    Disk {
        /// Its name.
        path: String,
        /// What the host said.
        error: io::Error,
    },
    /// The file of a disk does not hold a sector.
    EmptyDisk(String),
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tap { name, error } => write!(
                f,
                "cannot open TAP interface {name}: {error}; make it with `ip tuntap add {name} mode \
                 tap user $USER` and `ip link set {name} up`, or use passt"
            ),
            Self::Socket { name, error } => write!(
                f,
                "cannot connect to {name}: {error}; start `passt --foreground --socket {name}` first"
            ),
            Self::Descriptor { number, error } => write!(
                f,
                "cannot use descriptor {number} as network: {error}; whoever starts the process \
                 must leave it one end of a connected stream socket of that number"
            ),
            Self::Disk { path, error } if error.kind() == io::ErrorKind::PermissionDenied => {
                write!(f, "cannot open disk {path}: {error}; `{path},ro` opens it for reading only")
            }
            Self::Disk { path, error } => {
                write!(f, "cannot open disk {path}: {error}; `truncate -s 16M {path}` makes one")
            }
            Self::EmptyDisk(path) => write!(
                f,
                "disk {path} is smaller than a sector; make it larger with `truncate -s 16M {path}`"
            ),
        }
    }
}

impl std::error::Error for OpenError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Tap { error, .. }
            | Self::Socket { error, .. }
            | Self::Descriptor { error, .. }
            | Self::Disk { error, .. } => Some(error),
            Self::EmptyDisk(_) => None,
        }
    }
}
