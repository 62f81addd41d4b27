//! Standard output.

use std::io::Write;

/// Writes all of `bytes`. Errors are ignored: there is nowhere to report them.
pub fn write(bytes: &[u8]) {
    let mut out = std::io::stdout().lock();
    let _ = out.write_all(bytes);
    let _ = out.flush();
}
