//! The tree, as far as the guest under test gets to see it.

extern crate std;

use std::{
    collections::{BTreeMap, BTreeSet},
    string::{String, ToString},
    vec::Vec,
};

use crate::store::{Access, Permissions};

/// The number of the guest.
pub(crate) const DOMAIN: u16 = 7;
/// Its directory.
pub(crate) const HOME: &str = "/local/domain/7";

/// The name of an error.
pub(super) type Errno = &'static str;

#[derive(Clone, Debug)]
pub(super) struct Node {
    pub(super) value: Vec<u8>,
    pub(super) permissions: Permissions,
}

/// All nodes, by their paths from the root.
#[derive(Clone, Debug)]
pub(in crate::store) struct Tree {
    nodes: BTreeMap<String, Node>,
    /// What the guest may not read, with all below.
    hidden: BTreeSet<String>,
    /// Most of them.
    pub(in crate::store) quota: usize,
}

fn parent(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(parent, _)| parent)
}

fn is_below(path: &str, above: &str) -> bool {
    path.strip_prefix(above).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

impl Tree {
    pub(super) fn new() -> Self {
        let mut tree = Self { nodes: BTreeMap::new(), hidden: BTreeSet::new(), quota: 1000 };
        for path in ["", "/local", "/local/domain", HOME] {
            tree.put(path, b"", 0);
        }
        tree.put(&[HOME, "/name"].concat(), b"guest", 0);
        tree.put(&[HOME, "/domid"].concat(), b"7", 0);
        tree.put(&[HOME, "/data"].concat(), b"", DOMAIN);
        tree
    }

    /// As dom0 does it.
    pub(in crate::store) fn put(&mut self, path: &str, value: &[u8], owner: u16) {
        let permissions = Permissions { owner, default: Access::None, others: Vec::new() };
        self.nodes.insert(path.to_string(), Node { value: value.to_vec(), permissions });
    }

    /// As dom0 does it.
    pub(super) fn take_away(&mut self, path: &str) {
        self.nodes.retain(|other, _| !is_below(other, path));
    }

    /// Whether the guest may read what is below `path`. Returns the nodes that have changed.
    pub(super) fn permit(&mut self, path: &str, may_read: bool) -> Vec<(String, bool)> {
        if may_read {
            self.hidden.remove(path);
        } else {
            self.hidden.insert(path.to_string());
        }
        let nodes = self.nodes.keys().filter(|other| is_below(other, path));
        nodes.map(|node| (node.clone(), false)).collect()
    }

    /// A node that the guest may read.
    pub(super) fn read(&self, path: &str) -> Result<&Node, Errno> {
        if self.hidden.iter().any(|hidden| is_below(path, hidden)) {
            return Err("EACCES");
        }
        self.get(path)
    }

    pub(super) fn get(&self, path: &str) -> Result<&Node, Errno> {
        if path.ends_with('/') || path.contains("//") {
            return Err("EINVAL");
        }
        self.nodes.get(path).ok_or("ENOENT")
    }

    /// A node that the guest may write.
    pub(super) fn get_mut(&mut self, path: &str) -> Result<&mut Node, Errno> {
        self.get(path)?;
        let node = self.nodes.get_mut(path).ok_or("ENOENT")?;
        if node.permissions.owner == DOMAIN { Ok(node) } else { Err("EACCES") }
    }

    /// Makes a node, and those above it, unless it is there.
    pub(super) fn make(&mut self, path: &str) -> Result<(), Errno> {
        match self.get_mut(path) {
            Err("ENOENT") if path.is_empty() => Err("ENOENT"),
            Err("ENOENT") => {
                self.make(parent(path))?;
                if self.nodes.len() >= self.quota {
                    return Err("ENOSPC");
                }
                self.put(path, b"", DOMAIN);
                Ok(())
            }
            other => other.map(|_| ()),
        }
    }

    /// Removes a node and all below it. Returns whether it was there.
    pub(super) fn remove(&mut self, path: &str) -> Result<bool, Errno> {
        self.get(parent(path))?;
        match self.get_mut(path) {
            Err("ENOENT") => return Ok(false),
            other => other?,
        };
        self.nodes.retain(|other, _| !is_below(other, path));
        Ok(true)
    }

    /// The names of what is right below a node, each with a NUL at its end.
    pub(super) fn list(&self, path: &str) -> Result<Vec<u8>, Errno> {
        self.get(path)?;
        let mut list = Vec::new();
        for (other, _) in self.nodes.iter().filter(|(other, _)| !other.is_empty()) {
            if parent(other) == path {
                list.extend_from_slice(&other.as_bytes()[path.len() + 1..]);
                list.push(0);
            }
        }
        Ok(list)
    }
}

/// Whether who watches `watched` is told of a change at `path`; `is_removed` if the node is gone,
/// and all below it.
pub(super) fn concerns(watched: &str, path: &str, is_removed: bool) -> bool {
    is_below(path, watched) || (is_removed && is_below(watched, path))
}
