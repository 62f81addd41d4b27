//! Names for addresses in the code, from the table that the build puts into the image.

use core::fmt;

use mayfly_arch::image;
use mayfly_symbols::Table;

/// An address in the code, printed with the function that it belongs to. The format is what
/// `cargo xtask symbolize` looks for.
pub(crate) struct Place {
    address: usize,
    is_return: bool,
}

impl Place {
    /// The place of an instruction.
    pub(crate) fn at(address: usize) -> Self {
        Self { address, is_return: false }
    }

    /// The place where a call returns to. The call itself stands before it, and may be the last
    /// instruction of its function.
    pub(crate) fn returning_to(address: usize) -> Self {
        Self { address, is_return: true }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "    {:#018x}", self.address)?;
        let text = image::text();
        let probe = self.address.wrapping_sub(usize::from(self.is_return));
        let offset = probe.checked_sub(text.start).and_then(|offset| u32::try_from(offset).ok());
        let table = Table::parse(image::symbols()).ok();
        match table.zip(offset).and_then(|(table, offset)| Some((table.lookup(offset)?, offset))) {
            Some((symbol, offset)) => {
                write!(f, " {}+{}", symbol.name, offset - symbol.start + u32::from(self.is_return))
            }
            None => f.write_str(" ?"),
        }
    }
}
