//! What the code written by the macros of `mayfly-macros` refers to. Not for apps.

pub use alloc::boxed::Box;

use crate::{Error, machine::Machine, power::ExitStatus};

/// Has the guest do what its host asks for: `xl shutdown` and the like. For apps that take the machine,
/// so that one that only prints has nothing of XenStore in its image.
pub fn obey_host(machine: &Machine) {
    // Who starts it is of no interest, and whether there is one, neither.
    let _ = machine.xen();
}

/// What a main function may return.
#[diagnostic::on_unimplemented(
    message = "the main function cannot return `{Self}`",
    label = "must be nothing, or a Result<(), E> whose E converts into mayfly::Error"
)]
pub trait MainResult {
    /// The status that the guest ends with. An error is reported in the log: here and not in the
    /// kernel, because a main function that cannot fail needs no text for any error.
    fn into_status(self) -> ExitStatus;
}

impl MainResult for () {
    fn into_status(self) -> ExitStatus {
        ExitStatus::SUCCESS
    }
}

impl<E: Into<Error>> MainResult for Result<(), E> {
    fn into_status(self) -> ExitStatus {
        match self.map_err(Into::into) {
            Ok(()) => ExitStatus::SUCCESS,
            Err(error) => {
                log::error!(target: "mayfly", "main ended with an error: {error}");
                ExitStatus::FAILURE
            }
        }
    }
}

/// The package being compiled, as a [`config::App`](crate::config::App).
#[doc(hidden)]
#[macro_export]
macro_rules! __this_app {
    () => {
        &$crate::config::App {
            name: ::core::env!("CARGO_PKG_NAME"),
            version: ::core::env!("CARGO_PKG_VERSION"),
            about: ::core::env!("CARGO_PKG_DESCRIPTION"),
        }
    };
}

/// Leaves a record in the image's `.mayfly.describe` section; see `config::describe`.
#[doc(hidden)]
#[macro_export]
macro_rules! __describe {
    ($app:expr, $arguments:expr) => {
        #[used]
        #[unsafe(link_section = ".mayfly.describe")]
        static DESCRIPTION: [u8; $crate::config::describe::length($app, $arguments)] =
            $crate::config::describe::record($app, $arguments);
    };
}
