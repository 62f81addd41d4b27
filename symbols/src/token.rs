//! What a token of a name stands for.

/// The tokens of a table: one length for each, and what they stand for, end to end.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tokens<'a> {
    lengths: &'a [u8],
    text: &'a [u8],
}

impl<'a> Tokens<'a> {
    /// Takes `count` tokens off the front of `bytes`; gives them and what follows.
    pub(crate) fn split_from(bytes: &'a [u8], count: usize) -> Option<(Self, &'a [u8])> {
        let (lengths, rest) = bytes.split_at_checked(count)?;
        let total = lengths.iter().map(|&length| usize::from(length)).sum();
        let (text, rest) = rest.split_at_checked(total)?;
        Some((Self { lengths, text }, rest))
    }

    /// What `token` stands for, if there is such a token and it is text.
    pub(crate) fn expand(&self, token: u8) -> Option<&'a str> {
        let index = usize::from(token);
        let length = usize::from(*self.lengths.get(index)?);
        let start = self.lengths.get(..index)?.iter().map(|&length| usize::from(length)).sum();
        let part = self.text.get(start..)?.get(..length)?;
        core::str::from_utf8(part).ok()
    }
}
