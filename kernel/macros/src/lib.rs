//! Attribute and derive macros of Mayfly. Use them through the `mayfly` crate.
//!
//! The code that they write into an app is marked as the macro's, so that an app that says
//! `#![forbid(unsafe_code)]` can use them: the two unsafe attributes in it, a symbol's name and a
//! section's name, are this crate's responsibility.

mod boot_arguments;
mod entry;
mod field;

use proc_macro::TokenStream;

/// Makes an async function the app's entry point.
///
/// ```ignore
/// #[mayfly::main]
/// async fn main(machine: mayfly::Machine) -> mayfly::Result<()> {
///     Ok(())
/// }
/// ```
///
/// The function is called `main`, is async, takes the machine or nothing, and returns nothing or a
/// `Result<(), E>` whose error converts into `mayfly::Error`. The guest ends when it returns, or when
/// its host asks for that, of which only an app that takes the machine hears. The app's file starts
/// with `#![no_std]` and `#![no_main]`.
#[proc_macro_attribute]
pub fn main(arguments: TokenStream, item: TokenStream) -> TokenStream {
    entry::expand(arguments.into(), item.into())
        .unwrap_or_else(syn::Error::into_compile_error)
        .into()
}

/// Implements `mayfly::config::BootArguments` for a struct, which see, and adds
/// `parse(command_line: &str) -> Result<Self, ConfigError>`.
#[proc_macro_derive(BootArguments, attributes(arg))]
pub fn boot_arguments(item: TokenStream) -> TokenStream {
    boot_arguments::expand(item.into()).unwrap_or_else(syn::Error::into_compile_error).into()
}
