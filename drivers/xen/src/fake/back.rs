//! A back end's side of XenStore.

extern crate std;

use std::{
    format,
    string::{String, ToString},
};

use super::Guest;
use crate::{
    grants::GrantRef,
    store::fake::{DOMAIN, HOME},
};

/// The nodes of a device, as its back end and the tools have them.
#[derive(Clone)]
pub(crate) struct Back<'a> {
    pub(crate) guest: &'a Guest,
    /// The front end's directory, relative to that of the guest.
    pub(crate) directory: &'static str,
    front: String,
    back: String,
}

impl<'a> Back<'a> {
    /// A device that is not there yet.
    pub(crate) fn new(guest: &'a Guest, directory: &'static str) -> Self {
        let class = directory.trim_start_matches("device/");
        let (class, number) = class.split_once('/').unwrap();
        Self {
            guest,
            directory,
            front: format!("{HOME}/{directory}"),
            back: format!("/local/domain/0/backend/{class}/{DOMAIN}/{number}"),
        }
    }

    /// Makes the front end's directory, with nothing in it.
    pub(crate) fn announce(&self) {
        let bench = &self.guest.bench;
        for (end, _) in self.front.match_indices('/').filter(|(end, _)| *end > HOME.len()) {
            bench.put(&self.front[..end], "", 0);
        }
        bench.put(&self.front, "", DOMAIN);
    }

    /// Makes the front end's directory, as the tools do.
    pub(crate) fn attach(&self, nodes: &[(&str, &str)]) {
        self.announce();
        for (name, value) in nodes {
            self.put_front(name, value);
        }
        self.put_front("state", "1");
        self.put_front("backend-id", "0");
        self.lead();
    }

    /// Says where the back end is.
    pub(crate) fn lead(&self) {
        self.put_front("backend", &self.back);
    }

    /// Removes both directories, as the tools do.
    pub(crate) fn detach(&self) {
        self.guest.bench.take_away(&self.back);
        self.guest.bench.take_away(&self.front);
    }

    /// The guest is in another domain, for which the tools have made the device anew: the back end's
    /// directory has another name, and its state is that of the beginning.
    pub(crate) fn move_on(&mut self, nodes: &[(&str, &str)]) {
        self.detach();
        self.back.push_str("-again");
        self.guest.move_on();
        self.attach(nodes);
    }

    /// Removes the back end's directory.
    pub(crate) fn vanish(&self) {
        self.guest.bench.take_away(&self.back);
    }

    /// Whether the guest may read what the back end writes.
    pub(crate) fn permit(&self, may_read: bool) {
        self.guest.bench.permit(&self.back, may_read);
    }

    /// Sets one of the front end's nodes.
    pub(crate) fn put_front(&self, name: &str, value: impl AsRef<[u8]>) {
        self.guest.bench.put(&format!("{}/{name}", self.front), value, DOMAIN);
    }

    /// Sets one of the back end's nodes.
    pub(crate) fn put(&self, name: &str, value: impl AsRef<[u8]>) {
        self.guest.bench.put(&format!("{}/{name}", self.back), value, 0);
    }

    /// One of the back end's nodes, a number.
    pub(crate) fn number(&self, name: &str) -> Option<usize> {
        self.guest.bench.value(&format!("{}/{name}", self.back))?.parse().ok()
    }

    /// Writes what it can do, and that it waits for the front end.
    pub(crate) fn offer(&self, nodes: &[(&str, &str)]) {
        for (name, value) in nodes {
            self.put(name, value);
        }
        self.set_state(2);
    }

    /// Goes to a state, and lets everybody see it.
    pub(crate) fn set_state(&self, state: u8) {
        self.put("state", state.to_string());
        self.guest.settle();
    }

    /// One of the front end's nodes.
    pub(crate) fn front(&self, name: &str) -> Option<String> {
        self.guest.bench.value(&format!("{}/{name}", self.front))
    }

    /// The front end's state.
    pub(crate) fn front_state(&self) -> Option<String> {
        self.front("state")
    }

    /// A grant reference that the front end has written.
    pub(crate) fn reference(&self, name: &str) -> GrantRef {
        GrantRef(self.front(name).unwrap().parse().unwrap())
    }
}
