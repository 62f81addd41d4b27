//! What the code written by the macros of `mayfly-macros` refers to. Not for apps.

pub use alloc::boxed::Box;

/// What a main function may return.
#[diagnostic::on_unimplemented(
    message = "the main function cannot return `{Self}`",
    label = "must be nothing, or a Result<(), E> whose E converts into mayfly::Error"
)]
pub trait MainResult<E> {
    /// The result in the form that the kernel takes.
    ///
    /// # Errors
    /// That of the main function.
    fn into_result(self) -> Result<(), E>;
}

impl<E> MainResult<E> for () {
    fn into_result(self) -> Result<(), E> {
        Ok(())
    }
}

impl<E, F: Into<E>> MainResult<E> for Result<(), F> {
    fn into_result(self) -> Result<(), E> {
        self.map_err(Into::into)
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
