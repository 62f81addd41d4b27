//! Nodes that are removed without waiting.

use super::{nodes::Nodes, wire, wire::Kind};

impl Nodes {
    /// Removes a node and all below it, some time from now: for when there is nobody to wait.
    pub(crate) fn discard(&self, path: &str) {
        if let Ok(path) = wire::path(path) {
            self.connection().post(Kind::Remove, self.transaction(), &[path, b"\0"]);
        }
    }
}
