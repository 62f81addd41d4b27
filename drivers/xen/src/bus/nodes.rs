//! What a driver reads and writes of the two directories of a device.

use alloc::{
    format,
    string::{String, ToString},
    vec::Vec,
};
use core::str::FromStr;

/// A node of a device, by its name in one of the two directories.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Node {
    /// In that of the front end, which the tools have made.
    Front(&'static str),
    /// In that of the back end.
    Back(&'static str),
}

/// The values of nodes, as they were when they were read.
#[derive(Default)]
pub(crate) struct Seen(Vec<(Node, Option<String>)>);

impl Seen {
    pub(super) fn new(nodes: &[Node], values: Vec<Option<String>>) -> Self {
        Self(nodes.iter().copied().zip(values).collect())
    }

    /// Adds what was read later.
    pub(super) fn extend(&mut self, later: Self) {
        self.0.extend(later.0);
    }

    /// The text of a node, if it is there.
    pub(crate) fn text(&self, node: Node) -> Option<&str> {
        let found = self.0.iter().rfind(|(other, _)| *other == node);
        debug_assert!(found.is_some(), "{node:?} was not asked for");
        found?.1.as_deref()
    }

    /// The number that a node has, if it has one; anything else counts as nothing.
    pub(crate) fn number<T: FromStr>(&self, node: Node) -> Option<T> {
        self.text(node)?.parse().ok()
    }

    /// Whether the back end has set a feature.
    pub(crate) fn has_feature(&self, name: &'static str) -> bool {
        self.number(Node::Back(name)).is_some_and(|value: u32| value != 0)
    }
}

/// What a front end tells its back end.
#[derive(Default)]
pub struct Offer {
    nodes: Vec<(String, String)>,
}

impl Offer {
    /// Adds a node, by its name in the front end's directory.
    pub(crate) fn add(&mut self, name: &str, value: impl ToString) {
        self.nodes.push((name.into(), value.to_string()));
    }

    /// The nodes with their paths, for a front end with this directory.
    pub(super) fn under(self, front: &str) -> Vec<(String, String)> {
        self.nodes.into_iter().map(|(name, value)| (format!("{front}/{name}"), value)).collect()
    }
}
