//! The writer: finds the tokens that make the table small.

use std::collections::BTreeMap;

use crate::{HEADER_LENGTH, MAGIC};

/// A function to be put in the table.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Function {
    /// Where it starts, in bytes from the start of the text.
    pub start: u32,
    /// What a report shall call it. What is not printable ASCII is written as `?`.
    pub name: String,
}

/// Makes the table for `functions`, in any order, of a text of `text_length` bytes. The same
/// functions give the same bytes.
///
/// # Panics
/// If the table would be longer than 4 GiB.
pub fn encode(functions: &[Function], text_length: u32) -> Vec<u8> {
    let mut sorted: Vec<&Function> = functions.iter().collect();
    sorted.sort();
    sorted.dedup_by_key(|function| function.start);
    let mut names: Vec<Vec<u8>> = sorted.iter().map(|function| printable(&function.name)).collect();
    let tokens = tokenize(&mut names);

    let mut records = Vec::new();
    let mut previous = 0;
    for (function, name) in sorted.iter().zip(&names) {
        push_varint(&mut records, function.start - previous);
        push_varint(&mut records, u32::try_from(name.len()).expect("a name below 4 GiB"));
        records.extend_from_slice(name);
        previous = function.start;
    }

    let text: Vec<u8> = tokens.concat();
    let length = HEADER_LENGTH + tokens.len() + text.len() + records.len();
    let mut table = MAGIC.to_vec();
    for number in [length, sorted.len(), usize::try_from(text_length).unwrap_or(usize::MAX)] {
        table.extend(u32::try_from(number).expect("a table below 4 GiB").to_le_bytes());
    }
    table.extend(u16::try_from(tokens.len()).expect("at most 256 tokens").to_le_bytes());
    table.extend(tokens.iter().map(|token| u8::try_from(token.len()).expect("a short token")));
    table.extend(text);
    table.extend(records);
    table
}

/// `name` with `?` for every character that is not printable ASCII.
fn printable(name: &str) -> Vec<u8> {
    let character = |c: char| if c == ' ' || c.is_ascii_graphic() { c as u8 } else { b'?' };
    name.chars().map(character).collect()
}

/// Replaces the characters of `names` by tokens and gives what each token stands for.
///
/// Starts with one token for each character in use, then again and again makes the pair of tokens
/// that stand side by side most often a token of its own (byte pair encoding), for as long as that
/// saves more than the new token costs.
fn tokenize(names: &mut [Vec<u8>]) -> Vec<Vec<u8>> {
    let mut tokens: Vec<Vec<u8>> = Vec::new();
    let mut token_of: BTreeMap<u8, u8> = BTreeMap::new();
    for byte in names.iter_mut().flatten() {
        *byte = *token_of.entry(*byte).or_insert_with(|| {
            tokens.push(vec![*byte]);
            // At most 95 characters are printable.
            (tokens.len() - 1) as u8
        });
    }
    while let Ok(new) = u8::try_from(tokens.len()) {
        let Some((pair, saved)) = most_frequent_pair(names) else { break };
        let meaning = [tokens[usize::from(pair[0])].clone(), tokens[usize::from(pair[1])].clone()];
        let meaning = meaning.concat();
        if saved <= meaning.len() + 1 || meaning.len() > usize::from(u8::MAX) {
            break;
        }
        tokens.push(meaning);
        names.iter_mut().for_each(|name| merge(name, pair, new));
    }
    tokens
}

/// The pair of neighbours that occurs most often, and how often; among equals the smallest.
fn most_frequent_pair(names: &[Vec<u8>]) -> Option<([u8; 2], usize)> {
    let mut counts = vec![0_usize; 1 << 16];
    for name in names {
        for pair in name.windows(2) {
            counts[usize::from(pair[0]) << 8 | usize::from(pair[1])] += 1;
        }
    }
    let (pair, &count) =
        counts.iter().enumerate().rev().max_by_key(|&(_, count)| count).filter(|&(_, &n)| n > 1)?;
    Some(([(pair >> 8) as u8, pair as u8], count))
}

/// Replaces every `pair` in `name` by the token `new`.
fn merge(name: &mut Vec<u8>, pair: [u8; 2], new: u8) {
    let mut write = 0;
    let mut read = 0;
    while read < name.len() {
        let found = name[read..].starts_with(&pair);
        name[write] = if found { new } else { name[read] };
        read += if found { 2 } else { 1 };
        write += 1;
    }
    name.truncate(write);
}

/// Appends `value` as a varint.
fn push_varint(bytes: &mut Vec<u8>, mut value: u32) {
    while value >= 0x80 {
        bytes.push(value as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::Table;

    #[test]
    fn common_prefixes_cost_little() {
        let functions: Vec<Function> = (0..500)
            .map(|n| Function { start: n * 64, name: format!("mayfly::net::tcp::Listener::f{n}") })
            .collect();
        let plain: usize = functions.iter().map(|function| function.name.len()).sum();
        let table = encode(&functions, 500 * 64);
        assert!(table.len() * 3 < plain, "{} of {plain} bytes", table.len());
    }

    #[test]
    fn names_are_made_printable_and_starts_unique() {
        let functions = [
            Function { start: 8, name: "b\u{e9}\n".into() },
            Function { start: 8, name: "a".into() },
        ];
        let table = encode(&functions, 16);
        let table = Table::parse(&table).expect("a table");
        assert_eq!(table.len(), 1);
        assert_eq!(table.lookup(9).expect("a name").name.to_string(), "a");
        assert!(encode(&[], 0).starts_with(&MAGIC));
    }

    proptest! {
        #[test]
        fn what_was_written_is_read(
            map in proptest::collection::btree_map(0_u32..1 << 20, "[a-c:<>_ ]{0,40}", 0..50),
        ) {
            let functions: Vec<Function> =
                map.iter().map(|(&start, name)| Function { start, name: name.clone() }).collect();
            let bytes = encode(&functions, 1 << 20);
            let table = Table::parse(&bytes).expect("a table");
            let read: Vec<Function> = table
                .iter()
                .map(|symbol| Function { start: symbol.start, name: symbol.name.to_string() })
                .collect();
            prop_assert_eq!(read, functions);
        }
    }
}
