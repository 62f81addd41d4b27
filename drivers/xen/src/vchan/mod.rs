//! vchan: a stream of bytes in each direction between two domains, through memory that both have.
//!
//! One of them is the server: it makes the pages, grants them to the client, makes an event channel,
//! and publishes both in its directory of XenStore. The client maps the pages and connects to the
//! event channel. After that the two are alike. All of it is as libxenvchan has it, the place of the
//! nodes as Mirage has it:
//!
//! ```text
//!   /local/domain/SERVER/data/vchan/CLIENT/PORT/ring-ref        the grant of the first page
//!   /local/domain/SERVER/data/vchan/CLIENT/PORT/event-channel   the server's end of it
//! ```
//!
//! - `layout`: what is on the first page;
//! - `direction`: the indices, and when to send an event;
//! - `ring`: the bytes;
//! - `end`: one end of a channel;
//! - `server`, `client`: how it comes to be;
//! - `stream`: what an app does with it;
//! - `lookout`: what if the other side's domain goes.
//!
//! What the other side writes is an allegation: sizes and grants are read once, and checked; indices
//! are checked each time, against this side's own copies.

mod client;
mod direction;
mod end;
mod error;
mod layout;
mod lookout;
mod ring;
mod server;
mod stream;

#[cfg(any(test, feature = "fake"))]
pub(crate) mod fuzz;
#[cfg(test)]
mod tests;

pub use client::connect;
pub use error::VchanError;
pub use lookout::Lookout;
pub use server::{Listener, RingSizes};
pub use stream::{ReadHalf, Vchan, WriteHalf};

/// Checks the name of a port, which is part of a path.
pub(crate) fn check_name(name: &str) -> Result<(), VchanError> {
    let is_good = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    let is_name = (1..=64).contains(&name.len()) && name.bytes().all(is_good);
    if is_name { Ok(()) } else { Err(VchanError::Name) }
}
