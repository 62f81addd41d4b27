//! A command whose output nobody reads, as after `| head`.

use std::io;

use anyhow::{Result, ensure};

use super::typed::xtask;
use crate::ui::UNREAD;

/// It ends at once, and complains of nothing.
pub fn ends_without_complaint() -> Result<()> {
    let (reader, writer) = io::pipe()?;
    drop(reader);
    let ended = xtask(&["test", "--list", "--host-only"])?.stdout(writer).output()?;
    let said = String::from_utf8_lossy(&ended.stderr);
    ensure!(ended.status.code() == Some(UNREAD), "it has ended with {}:\n{said}", ended.status);
    ensure!(!said.contains("panicked"), "it complains:\n{said}");
    Ok(())
}
