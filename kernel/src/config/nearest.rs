//! Which known key a mistyped one was meant to be.

use alloc::vec::Vec;

use super::Argument;

/// Longer keys than this are not compared: nobody mistypes them that way.
const MAX_LENGTH: usize = 64;

/// The key of `arguments` that is fewest edits away from `key`, if it is close enough to be meant.
pub(super) fn nearest(key: &str, arguments: &'static [Argument]) -> Option<&'static str> {
    if key.len() > MAX_LENGTH {
        return None;
    }
    arguments
        .iter()
        .map(|argument| (edits(key, argument.key), argument.key))
        .filter(|(edits, known)| edits * 2 <= known.len().max(2))
        .min_by_key(|(edits, _)| *edits)
        .map(|(_, known)| known)
}

/// Levenshtein distance in bytes, by the two-row method kept in one row.
fn edits(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (1..=b.len()).collect();
    for (i, x) in a.bytes().enumerate() {
        let (mut diagonal, mut left) = (i, i + 1);
        for (y, cell) in b.bytes().zip(row.iter_mut()) {
            let above = *cell;
            *cell = (diagonal + usize::from(x != y)).min(above + 1).min(left + 1);
            (diagonal, left) = (above, *cell);
        }
    }
    row.last().copied().unwrap_or(a.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances_are_those_of_the_textbook() {
        assert_eq!(edits("kitten", "sitting"), 3);
        assert_eq!((edits("", "abc"), edits("abc", ""), edits("abc", "abc")), (3, 3, 0));
    }
}
