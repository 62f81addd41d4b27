//! What is bound to which port.

use alloc::{collections::TryReserveError, vec::Vec};

/// A table of what is bound to ports.
///
/// A sorted list: there are few entries, they change seldom, and the code is a tenth of that of a
/// B-tree.
#[derive(Debug)]
pub(super) struct PortMap<T> {
    entries: Vec<(u16, T)>,
}

impl<T> PortMap<T> {
    /// An empty table.
    pub(super) const fn new() -> Self {
        Self { entries: Vec::new() }
    }

    fn place(&self, port: u16) -> Result<usize, usize> {
        self.entries.binary_search_by_key(&port, |entry| entry.0)
    }

    /// Whether something is bound to `port`.
    pub(super) fn contains(&self, port: u16) -> bool {
        self.place(port).is_ok()
    }

    /// What is bound to `port`.
    pub(super) fn get(&self, port: u16) -> Option<&T> {
        let place = self.place(port).ok()?;
        self.entries.get(place).map(|entry| &entry.1)
    }

    /// What is bound to `port`.
    pub(super) fn get_mut(&mut self, port: u16) -> Option<&mut T> {
        let place = self.place(port).ok()?;
        self.entries.get_mut(place).map(|entry| &mut entry.1)
    }

    /// Binds `value` to `port`, in place of what was.
    ///
    /// # Errors
    /// There is not enough memory.
    pub(super) fn insert(&mut self, port: u16, value: T) -> Result<(), TryReserveError> {
        match self.place(port) {
            Ok(place) => {
                if let Some(entry) = self.entries.get_mut(place) {
                    entry.1 = value;
                }
            }
            Err(place) => {
                self.entries.try_reserve(1)?;
                self.entries.insert(place, (port, value));
            }
        }
        Ok(())
    }

    /// Frees `port`, and gives what was bound to it.
    pub(super) fn remove(&mut self, port: u16) -> Option<T> {
        let place = self.place(port).ok()?;
        Some(self.entries.remove(place).1)
    }

    /// All that is bound.
    pub(super) fn values_mut(&mut self) -> impl Iterator<Item = &mut T> {
        self.entries.iter_mut().map(|entry| &mut entry.1)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn is_a_map(steps in proptest::collection::vec((0..20_u16, any::<Option<u8>>()), 0..200)) {
            let (mut map, mut model) = (PortMap::new(), BTreeMap::new());
            for (port, value) in steps {
                match value {
                    Some(value) => {
                        map.insert(port, value).expect("memory");
                        model.insert(port, value);
                    }
                    None => prop_assert_eq!(map.remove(port), model.remove(&port)),
                }
                prop_assert_eq!(map.get(port), model.get(&port));
                prop_assert_eq!(map.contains(port), model.contains_key(&port));
                prop_assert_eq!(map.get_mut(port), model.get_mut(&port));
                prop_assert!(map.values_mut().eq(model.values_mut()));
            }
        }
    }
}
