//! Directories whose list of names does not fit into one message (`DIRECTORY_PART`,
//! docs/misc/xenstore.txt).
//!
//! The reply is a number that changes when the directory does, and a part of the list; another NUL
//! marks the last part.

use alloc::{format, vec::Vec};

use super::{StoreError, nodes::Nodes, wire::Kind};

/// Longest list that is taken, in bytes.
const LIST_MAX: usize = 1 << 20;
/// How often reading starts again because the directory has changed.
const TRIES: u32 = 16;

/// The list of a directory's names, each with a NUL at its end.
pub(super) async fn read(nodes: &Nodes, path: &str) -> Result<Vec<u8>, StoreError> {
    for _ in 0..TRIES {
        if let Some(list) = read_once(nodes, path).await? {
            return Ok(list);
        }
    }
    Err(StoreError::Again)
}

/// As [`read`]; `None` if the directory changes meanwhile.
async fn read_once(nodes: &Nodes, path: &str) -> Result<Option<Vec<u8>>, StoreError> {
    let mut list = Vec::new();
    let mut generation = None;
    loop {
        let offset = format!("{}\0", list.len());
        let reply = nodes.ask(Kind::DirectoryPart, path, offset.as_bytes())?.await?;
        let end = reply.iter().position(|byte| *byte == 0).ok_or(StoreError::Protocol)?;
        let (number, part) = reply.split_at(end);
        if *generation.get_or_insert_with(|| number.to_vec()) != *number {
            return Ok(None);
        }
        let part = part.get(1..).unwrap_or_default();
        let last = part.strip_suffix(b"\0").filter(|rest| rest.is_empty() || rest.ends_with(b"\0"));
        list.extend_from_slice(last.unwrap_or(part));
        match last {
            Some(_) => return Ok(Some(list)),
            None if part.is_empty() => return Err(StoreError::Protocol),
            None if list.len() > LIST_MAX => return Err(StoreError::TooLarge),
            None => {}
        }
    }
}
