//! The table of function names that every image carries.
//!
//! A fault report has to name the functions of a backtrace without help from outside. So
//! `cargo xtask build` writes the names of all functions of an image, compressed, into its section
//! `.mayfly.symbols`; the report finds the section with [`Table::parse`] and asks
//! [`Table::lookup`] for each return address. Source files and lines are not in the table: those
//! come from `cargo xtask symbolize`, which has the debug information.
//!
//! # The format
//!
//! All numbers are little-endian; a *varint* is LEB128, seven bits to a byte, low bits first.
//!
//! | bytes | what |
//! |---|---|
//! | 4 | magic, [`MAGIC`] |
//! | 4 | length of the whole table, this header included |
//! | 4 | number of symbols |
//! | 4 | length of the text that the table covers; an offset beyond it has no name |
//! | 2 | number of tokens, at most 256 |
//! | one for each token | length of what the token stands for |
//! | … | what the tokens stand for, one after the other, ASCII |
//! | for each symbol, ascending | varint: distance of its start from that of the symbol before, the first from the start of the text; varint: length of the name in tokens; the name, one byte for each token |
//!
//! A token is a part of a name: a letter, or a string that occurs often (`mayfly::net::`). That
//! makes the table about three times smaller than the names alone, and a reader that only ever
//! moves forward needs no memory of its own, which suits a fault handler. Offsets count from the
//! start of the text, so the table does not depend on the address that the image is linked at.
#![cfg_attr(not(any(feature = "write", test)), no_std)]
#![forbid(unsafe_code)]

mod read;
mod token;
#[cfg(any(feature = "write", test))]
mod write;

pub use read::{Name, Symbol, Table, TableError};
#[cfg(any(feature = "write", test))]
pub use write::{Function, encode};

/// The first four bytes of a table. The last one counts versions of the format.
pub const MAGIC: [u8; 4] = *b"MSY1";

/// The section of the image that holds the table.
pub const SECTION: &str = ".mayfly.symbols";

/// Length of the part of a table that is always there: up to and with the number of tokens.
const HEADER_LENGTH: usize = 18;
