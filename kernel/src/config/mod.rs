//! Boot arguments: the words on the guest's command line, turned into an app's own struct.
//!
//! ```text
//! ip=10.0.0.2/24 gateway=10.0.0.1 port=8080 verbose name='front door'
//! ```
//!
//! The line is split into words as a shell would ([`words`]). A word is `key=value`, or a bare
//! `key` for a flag; a leading `--` is allowed, and `-` and `_` mean the same in a key. Keys of the
//! system itself ([`SYSTEM_KEYS`]) are not the app's concern and are skipped. An app derives
//! [`BootArguments`] on a struct and calls its `parse`; a key that the struct does not have is an
//! error that names the nearest one it has.
//!
//! The derive also leaves a description in the image, see [`describe`].

mod argument;
pub mod describe;
mod error;
mod help;
mod nearest;
mod system;
mod system_keys;
mod value;
mod values;
mod words;

pub use argument::{App, Argument, Takes, check_key};
pub use error::ConfigError;
pub use help::Help;
pub use system::{System, pairs};
pub use system_keys::{SYSTEM_KEYS, is_system_key};
pub use value::Value;
pub use values::Values;
pub use words::{UnterminatedQuote, Words, words};

/// A struct that an app's boot arguments are parsed into. Derive it.
///
/// ```
/// #[derive(mayfly::BootArguments)]
/// struct Args {
///     /// TCP port to listen on.
///     #[arg(default = 80)]
///     port: u16,
///     /// Name to answer to.
///     name: Option<String>,
///     /// Log every request.
///     verbose: bool,
///     /// Servers to copy from.
///     peers: Vec<core::net::IpAddr>,
/// }
///
/// let args = Args::parse("port=8080 peers=10.0.0.1,10.0.0.2").unwrap();
/// assert_eq!((args.port, args.verbose, args.peers.len()), (8080, false, 2));
/// ```
///
/// | field | on the command line |
/// |---|---|
/// | `T` | `key=value`, once; required unless it has a default |
/// | `Option<T>` | `key=value`, once or not at all |
/// | `bool` | `key`, `key=yes` or `key=no` |
/// | `Vec<T>` | `key=value,value`, any number of times |
///
/// `T` is any type that implements [`Value`]. Doc comments become the help text. The key is the
/// field's name with `-` for `_`.
/// `#[arg(default = …)]` takes a literal or expression of the field's type, or a string that is
/// parsed as it would be on the command line; `#[arg(name = "…")]` gives the key another name.
pub trait BootArguments: Sized {
    /// The app, for the head of the help text.
    const APP: &'static App;
    /// The keys, in the order of the struct's fields.
    const ARGUMENTS: &'static [Argument];

    /// Builds the struct from the values that were given.
    ///
    /// # Errors
    /// A value is missing or cannot be parsed.
    fn from_values(values: &Values<'_>) -> Result<Self, ConfigError>;
}

/// Parses a command line into `T`; what the derived `parse` function calls.
///
/// # Errors
/// The first thing that is wrong with the command line, or [`ConfigError::Help`] if it asks for
/// help: print it and end, for nothing is wrong.
pub fn parse<T: BootArguments>(command_line: &str) -> Result<T, ConfigError> {
    T::from_values(&Values::collect(command_line, T::APP, T::ARGUMENTS)?)
}
