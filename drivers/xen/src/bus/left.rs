//! What a back end was offered, and of which nothing has come, while it may not know that.
//!
//! Who starts a device may give up while its back end takes its time, or find that it is of no use.
//! The back end may look for the rings later all the same, by the references that it was told: these
//! must not lead to pages of others by then. So what was offered stays as it is until a front end
//! begins again in the same directory, for then the back end hears of the end first. Of a device that
//! nobody starts again, it stays for good.

use alloc::{
    boxed::Box,
    string::{String, ToString},
    vec::Vec,
};
use core::{any::Any, cell::RefCell};

mayfly_arch::local! {
    /// By the directory of the front end.
    static LEFT: RefCell<Vec<(String, Box<dyn Any>)>> = RefCell::new(Vec::new());
}

/// Keeps what was offered in this directory.
pub(super) fn behind(front: &str, offered: Box<dyn Any>) {
    LEFT.with(|left| left.borrow_mut().push((front.to_string(), offered)));
}

/// Whether something was left behind in this directory.
pub(crate) fn is_behind(front: &str) -> bool {
    LEFT.with(|left| left.borrow().iter().any(|(other, _)| other == front))
}

/// Gives back what was offered in this directory: its back end has heard.
pub(super) fn clear(front: &str) {
    let given_back: Vec<_> =
        LEFT.with(|left| left.borrow_mut().extract_if(.., |(other, _)| other == front).collect());
    drop(given_back);
}

/// Gives back all: the guest is none any more.
#[cfg(any(test, feature = "fake"))]
pub(crate) fn clear_all() {
    drop(LEFT.with(|left| left.take()));
}
