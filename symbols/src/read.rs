//! The reader: no allocation, no panic, whatever the bytes are.

use core::fmt;

use crate::token::Tokens;
use crate::{HEADER_LENGTH, MAGIC};

/// A table of function names, as it lies in an image.
#[derive(Clone, Copy, Debug)]
pub struct Table<'a> {
    symbols: u32,
    text_length: u32,
    tokens: Tokens<'a>,
    records: &'a [u8],
}

/// Why there is no table to read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TableError {
    /// The bytes do not start with [`MAGIC`]: the image was not made by `cargo xtask build`.
    NotATable,
    /// The table ends before its own length says.
    Truncated,
}

impl fmt::Display for TableError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotATable => {
                "no table of function names; build the image with `cargo xtask build`"
            }
            Self::Truncated => "the table of function names is cut off; build the image again",
        })
    }
}

impl core::error::Error for TableError {}

/// A function that [`Table::lookup`] found.
#[derive(Clone, Copy, Debug)]
pub struct Symbol<'a> {
    /// What the function is called, without its hash.
    pub name: Name<'a>,
    /// Where it starts, in bytes from the start of the text.
    pub start: u32,
}

/// The name of a function; print it with `{}`.
#[derive(Clone, Copy, Debug)]
pub struct Name<'a> {
    tokens: Tokens<'a>,
    encoded: &'a [u8],
}

impl fmt::Display for Name<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.encoded
            .iter()
            .try_for_each(|&token| f.write_str(self.tokens.expand(token).unwrap_or("?")))
    }
}

impl<'a> Table<'a> {
    /// Recognises the table at the start of `bytes`; what follows the table is ignored.
    ///
    /// # Errors
    /// [`TableError`] if there is none or if it is cut off.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, TableError> {
        if bytes.get(..MAGIC.len()) != Some(&MAGIC) {
            return Err(TableError::NotATable);
        }
        let length = usize::try_from(number(bytes, 4)?).map_err(|_| TableError::Truncated)?;
        let table = bytes.get(..length).ok_or(TableError::Truncated)?;
        let tokens = table.get(16..HEADER_LENGTH).ok_or(TableError::Truncated)?;
        let tokens = tokens.iter().rev().fold(0, |sum, &byte| sum << 8 | usize::from(byte));
        let rest = table.get(HEADER_LENGTH..).ok_or(TableError::Truncated)?;
        let (tokens, records) = Tokens::split_from(rest, tokens).ok_or(TableError::Truncated)?;
        Ok(Self { symbols: number(table, 8)?, text_length: number(table, 12)?, tokens, records })
    }

    /// Number of functions in the table.
    pub fn len(&self) -> usize {
        usize::try_from(self.symbols).unwrap_or(usize::MAX)
    }

    /// Whether the table names no function at all.
    pub fn is_empty(&self) -> bool {
        self.symbols == 0
    }

    /// The function that the byte at `offset` from the start of the text belongs to.
    ///
    /// For a return address look up the byte before it: a call that never returns can be the last
    /// instruction of its function.
    pub fn lookup(&self, offset: u32) -> Option<Symbol<'a>> {
        if offset >= self.text_length {
            return None;
        }
        self.iter().take_while(|symbol| symbol.start <= offset).last()
    }

    /// All functions, by ascending address.
    pub fn iter(&self) -> impl Iterator<Item = Symbol<'a>> + use<'a> {
        let (tokens, mut records, mut start) = (self.tokens, self.records, 0_u32);
        (0..self.symbols).map_while(move |_| {
            let (distance, rest) = varint(records)?;
            let (length, rest) = varint(rest)?;
            let (encoded, rest) = rest.split_at_checked(usize::try_from(length).ok()?)?;
            (records, start) = (rest, start.checked_add(distance)?);
            Some(Symbol { name: Name { tokens, encoded }, start })
        })
    }
}

/// The little-endian number at `offset`.
fn number(bytes: &[u8], offset: usize) -> Result<u32, TableError> {
    let field = bytes.get(offset..).and_then(<[u8]>::first_chunk).ok_or(TableError::Truncated)?;
    Ok(u32::from_le_bytes(*field))
}

/// Takes a varint off the front of `bytes`; gives it and what follows.
fn varint(bytes: &[u8]) -> Option<(u32, &[u8])> {
    let mut value = 0_u32;
    for (index, &byte) in bytes.iter().enumerate().take(5) {
        let shift = 7 * u32::try_from(index).ok()?;
        value |= u32::from(byte & 0x7f).checked_shl(shift)?;
        if byte & 0x80 == 0 {
            return Some((value, bytes.get(index.checked_add(1)?..)?));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{Function, encode};

    fn table() -> Vec<u8> {
        let functions = [
            Function { start: 0, name: "boot::entry".into() },
            Function { start: 0x40, name: "kernel::start".into() },
            Function { start: 0x1_0000, name: "kernel::stop".into() },
        ];
        encode(&functions, 0x1_0100)
    }

    fn name_at(offset: u32) -> Option<String> {
        let table = table();
        let table = Table::parse(&table).expect("a table");
        table.lookup(offset).map(|symbol| format!("{}+{:#x}", symbol.name, offset - symbol.start))
    }

    #[test]
    fn finds_the_function_that_an_offset_lies_in() {
        assert_eq!(name_at(0).as_deref(), Some("boot::entry+0x0"));
        assert_eq!(name_at(0x3f).as_deref(), Some("boot::entry+0x3f"));
        assert_eq!(name_at(0x40).as_deref(), Some("kernel::start+0x0"));
        assert_eq!(name_at(0x1_00ff).as_deref(), Some("kernel::stop+0xff"));
        assert_eq!(name_at(0x1_0100), None);
    }

    #[test]
    fn says_why_there_is_no_table() {
        assert_eq!(Table::parse(b"").err(), Some(TableError::NotATable));
        assert_eq!(Table::parse(&[0; 64]).err(), Some(TableError::NotATable));
        let table = table();
        for length in 4..table.len() {
            assert_eq!(Table::parse(&table[..length]).err(), Some(TableError::Truncated));
        }
    }

    proptest! {
        #[test]
        fn reads_damaged_tables_without_a_panic(
            position in 4_usize..60, value: u8, offset: u32,
        ) {
            let mut bytes = table();
            let position = position % bytes.len();
            bytes[position] = value;
            if let Ok(table) = Table::parse(&bytes) {
                let _ = table.lookup(offset).map(|symbol| symbol.name.to_string());
                let _ = table.iter().count();
            }
        }
    }
}
