//! Lists of the names in a directory, and those that do not fit into one message (`DIRECTORY_PART`,
//! docs/misc/xenstore.txt).
//!
//! The reply to that is a number that changes when the directory does, and a part of the list; another
//! NUL marks the last part.

use alloc::{format, string::String, vec::Vec};

use super::{
    StoreError,
    nodes::Nodes,
    wire::{self, Kind},
};

/// Longest list that is taken, in bytes: by default, a guest may have 1000 nodes.
const LIST_MAX: usize = 1 << 16;
/// How often reading starts again because the directory has changed.
const TRIES: u32 = 16;

/// The names in a list, for which there may be too little memory: whoever may write to a directory
/// decides how many there are.
pub(super) fn names(list: &[u8]) -> Result<Vec<String>, StoreError> {
    let count = wire::texts(list).ok_or(StoreError::Protocol)?.count();
    let mut names = Vec::new();
    names.try_reserve_exact(count).map_err(|_| StoreError::TooLarge)?;
    for text in wire::texts(list).into_iter().flatten() {
        let mut name = String::new();
        name.try_reserve_exact(text.len()).map_err(|_| StoreError::TooLarge)?;
        name.push_str(text);
        names.push(name);
    }
    Ok(names)
}

/// The list of a directory's names, each with a NUL at its end.
pub(super) async fn read(nodes: &Nodes, path: &str) -> Result<Vec<u8>, StoreError> {
    for _ in 0..TRIES {
        if let Some(list) = read_once(nodes, path).await? {
            return Ok(list);
        }
    }
    Err(StoreError::Again)
}

/// What an error means here: a daemon that has no `DIRECTORY_PART`, as oxenstored of Xen 4.17, cannot
/// give the list to anybody.
fn without_parts(error: StoreError) -> StoreError {
    match error {
        StoreError::Other(name) if name.as_str() == "ENOSYS" => StoreError::TooLarge,
        error => error,
    }
}

/// As [`read`]; `None` if the directory changes meanwhile.
async fn read_once(nodes: &Nodes, path: &str) -> Result<Option<Vec<u8>>, StoreError> {
    let mut list = Vec::new();
    let mut generation = None;
    loop {
        let offset = format!("{}\0", list.len());
        let reply = nodes
            .ask(Kind::DirectoryPart, path, offset.as_bytes())?
            .await
            .map_err(|error| without_parts(error.into()))?;
        let end = reply.iter().position(|byte| *byte == 0).ok_or(StoreError::Protocol)?;
        let (number, part) = reply.split_at(end);
        if *generation.get_or_insert_with(|| number.to_vec()) != *number {
            return Ok(None);
        }
        let part = part.get(1..).unwrap_or_default();
        let last = part.strip_suffix(b"\0").filter(|rest| rest.is_empty() || rest.ends_with(b"\0"));
        let more = last.unwrap_or(part);
        if list.len() + more.len() > LIST_MAX || list.try_reserve(more.len()).is_err() {
            return Err(StoreError::TooLarge);
        }
        list.extend_from_slice(more);
        match last {
            Some(_) => return Ok(Some(list)),
            None if part.is_empty() => return Err(StoreError::Protocol),
            None => {}
        }
    }
}
