//! A hash table from flows to what belongs to them.
//!
//! Values live in numbered slots, so that a socket finds its own without hashing. The hash is
//! keyed with a random number, so that nobody outside can choose flows that collide.

use alloc::vec::Vec;

use smoltcp::wire::{IpAddress, IpEndpoint};

use super::wire::Flow;

const NONE: u32 = u32::MAX;
const MIN_BUCKETS: usize = 16;

/// Names a value in a [`FlowMap`]; never names another one later.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Id {
    index: u32,
    generation: u32,
}

impl Id {
    /// The number of the slot: small, unique among the values that exist.
    pub(super) fn slot(self) -> u32 {
        self.index
    }
}

struct Slot<T> {
    flow: Flow,
    generation: u32,
    /// The next slot of the same bucket, or of the list of free slots.
    next: u32,
    /// Whether the flow leads here.
    is_linked: bool,
    value: Option<T>,
}

/// See the module.
pub(super) struct FlowMap<T> {
    slots: Vec<Slot<T>>,
    buckets: Vec<u32>,
    free: u32,
    len: usize,
    generation: u32,
    key: u64,
}

impl<T> FlowMap<T> {
    /// An empty map whose hash depends on the random number `key`.
    pub(super) const fn new(key: u64) -> Self {
        Self { slots: Vec::new(), buckets: Vec::new(), free: NONE, len: 0, generation: 0, key }
    }

    /// Number of values.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Number of slots: every [`Id::slot`] is below it.
    pub(super) fn slots(&self) -> usize {
        self.slots.len()
    }

    fn bucket(&self, flow: &Flow) -> usize {
        let hash = mix(mix(self.key, &flow.remote), &flow.local);
        // The upper bits of a product are its good ones; the number of buckets is a power of two.
        (hash >> 32) as usize & self.buckets.len().wrapping_sub(1)
    }

    /// Finds the value of a flow.
    pub(super) fn find(&self, flow: &Flow) -> Option<Id> {
        let mut index = *self.buckets.get(self.bucket(flow))?;
        while let Some(slot) = self.slots.get(index as usize) {
            if slot.flow == *flow {
                return Some(Id { index, generation: slot.generation });
            }
            index = slot.next;
        }
        None
    }

    /// The value with this name.
    pub(super) fn get(&self, id: Id) -> Option<&T> {
        let slot = self.slots.get(id.index as usize)?;
        if slot.generation == id.generation { slot.value.as_ref() } else { None }
    }

    /// The value with this name, to be changed.
    pub(super) fn get_mut(&mut self, id: Id) -> Option<&mut T> {
        let slot = self.slots.get_mut(id.index as usize)?;
        if slot.generation == id.generation { slot.value.as_mut() } else { None }
    }

    /// The flow of the value with this name.
    pub(super) fn flow(&self, id: Id) -> Option<Flow> {
        self.get(id)?;
        self.slots.get(id.index as usize).map(|slot| slot.flow)
    }

    /// The name of the value in slot number `slot`, if there is one.
    pub(super) fn id_of_slot(&self, slot: u32) -> Option<Id> {
        let found = self.slots.get(slot as usize)?;
        found.value.as_ref().map(|_| Id { index: slot, generation: found.generation })
    }

    /// Adds a value for a flow that has none. Gives it back if there is no memory.
    pub(super) fn insert(&mut self, flow: Flow, value: T) -> Result<Id, T> {
        if !self.make_room() {
            return Err(value);
        }
        self.generation = self.generation.wrapping_add(1);
        let generation = self.generation;
        let bucket = self.bucket(&flow);
        let Some(head) = self.buckets.get_mut(bucket) else { return Err(value) };
        let slot = Slot { flow, generation, next: *head, is_linked: true, value: Some(value) };
        let index = self.free;
        if let Some(vacant) = self.slots.get_mut(index as usize) {
            self.free = vacant.next;
            *head = index;
            *vacant = slot;
            self.len += 1;
            return Ok(Id { index, generation });
        }
        let index = self.slots.len() as u32;
        *head = index;
        self.slots.push(slot);
        self.len += 1;
        Ok(Id { index, generation })
    }

    /// Lets the flow lead to nothing any more, so that another value can take it. This one stays
    /// under its name.
    pub(super) fn detach(&mut self, id: Id) {
        if self.get(id).is_some() {
            self.unlink(id.index);
        }
    }

    /// Takes a value out.
    pub(super) fn remove(&mut self, id: Id) -> Option<T> {
        self.get(id)?;
        self.unlink(id.index);
        let slot = self.slots.get_mut(id.index as usize)?;
        let value = slot.value.take();
        slot.next = self.free;
        self.free = id.index;
        self.len -= 1;
        self.give_back();
        value
    }

    fn unlink(&mut self, index: u32) {
        let Some(slot) = self.slots.get_mut(index as usize) else { return };
        if !core::mem::take(&mut slot.is_linked) {
            return;
        }
        let (flow, next) = (slot.flow, slot.next);
        let bucket = self.bucket(&flow);
        let Some(head) = self.buckets.get_mut(bucket) else { return };
        if *head == index {
            *head = next;
            return;
        }
        let mut at = *head;
        while let Some(slot) = self.slots.get_mut(at as usize) {
            if slot.next == index {
                slot.next = next;
                return;
            }
            at = slot.next;
        }
    }

    /// Makes sure that one more value fits. Returns whether it does.
    fn make_room(&mut self) -> bool {
        if self.free == NONE && self.slots.try_reserve(1).is_err() {
            return false;
        }
        if self.len < self.buckets.len() {
            return true;
        }
        let wanted = (self.buckets.len() * 2).max(MIN_BUCKETS);
        // A full table still works without more buckets, only slower.
        self.rehash(wanted) || !self.buckets.is_empty()
    }

    /// Returns memory when few values are left.
    fn give_back(&mut self) {
        if self.len == 0 {
            (self.slots, self.free) = (Vec::new(), NONE);
        }
        if self.len < self.buckets.len() / 8 && self.buckets.len() > MIN_BUCKETS {
            self.rehash(self.buckets.len() / 2);
        }
    }

    fn rehash(&mut self, buckets: usize) -> bool {
        let mut fresh = Vec::new();
        if fresh.try_reserve_exact(buckets).is_err() {
            return false;
        }
        fresh.resize(buckets, NONE);
        self.buckets = fresh;
        for index in 0..self.slots.len() {
            let Some(slot) = self.slots.get(index) else { break };
            if !slot.is_linked {
                continue;
            }
            let bucket = self.bucket(&slot.flow);
            let Some(head) = self.buckets.get_mut(bucket) else { break };
            let next = core::mem::replace(head, index as u32);
            if let Some(slot) = self.slots.get_mut(index) {
                slot.next = next;
            }
        }
        true
    }
}

/// Multiplies the endpoint into a hash: one round per 64 bits, each of which spreads over the upper
/// half, with a constant of MurmurHash3's finaliser.
fn mix(hash: u64, endpoint: &IpEndpoint) -> u64 {
    const MULTIPLIER: u64 = 0xff51_afd7_ed55_8ccd;
    let round = |hash: u64, word: u64| {
        let product = (hash ^ word).wrapping_mul(MULTIPLIER);
        product ^ (product >> 32)
    };
    match endpoint.addr {
        IpAddress::Ipv4(address) => {
            round(hash, u64::from(address.to_bits()) << 16 | u64::from(endpoint.port))
        }
        IpAddress::Ipv6(address) => {
            let bits = address.to_bits();
            let hash = round(round(hash, (bits >> 64) as u64), bits as u64);
            round(hash, endpoint.port.into())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flow(number: u32) -> Flow {
        Flow {
            local: IpEndpoint::new(IpAddress::v4(10, 0, 0, 1), 80),
            remote: IpEndpoint::new(IpAddress::v4(10, 0, 1, (number >> 16) as u8), number as u16),
        }
    }

    #[test]
    fn values_are_found_until_removed() {
        let mut map = FlowMap::new(42);
        let ids: Vec<Id> = (0..2000).map(|i| map.insert(flow(i), i).unwrap()).collect();
        for i in 0..2000 {
            assert_eq!(map.find(&flow(i)), Some(ids[i as usize]));
            assert_eq!(map.get(ids[i as usize]), Some(&i));
        }
        for i in (0..2000).step_by(2) {
            assert_eq!(map.remove(ids[i as usize]), Some(i));
            assert_eq!(map.remove(ids[i as usize]), None);
        }
        assert_eq!(map.len(), 1000);
        for i in 0..2000 {
            assert_eq!(map.find(&flow(i)).is_some(), i % 2 == 1);
        }
        let slots = 0..map.slots() as u32;
        assert_eq!(slots.filter_map(|slot| map.id_of_slot(slot)).count(), 1000);
    }

    #[test]
    fn a_name_never_names_another_value() {
        let mut map = FlowMap::new(7);
        let first = map.insert(flow(1), 1).unwrap();
        map.remove(first);
        let second = map.insert(flow(2), 2).unwrap();
        assert_eq!(map.get(first), None);
        assert_eq!(map.get(second), Some(&2));
        assert_eq!(first.slot(), second.slot());
    }

    #[test]
    fn a_detached_value_leaves_its_flow_to_another() {
        let mut map = FlowMap::new(7);
        let first = map.insert(flow(1), 1).unwrap();
        map.detach(first);
        assert_eq!(map.find(&flow(1)), None);
        let second = map.insert(flow(1), 2).unwrap();
        for number in 100..200 {
            map.insert(flow(number), number).unwrap();
        }
        assert_eq!(map.find(&flow(1)), Some(second));
        assert_eq!((map.get(first), map.flow(first)), (Some(&1), Some(flow(1))));
        assert_eq!(map.remove(first), Some(1));
        assert_eq!(map.find(&flow(1)), Some(second));
    }

    #[test]
    fn memory_returns() {
        let mut map = FlowMap::new(7);
        let ids: Vec<Id> = (0..5000).map(|i| map.insert(flow(i), i).unwrap()).collect();
        assert!(map.buckets.len() >= 4096);
        for id in ids {
            map.remove(id);
        }
        assert_eq!(map.len(), 0);
        assert_eq!(map.buckets.len(), MIN_BUCKETS);
        assert_eq!(map.slots.capacity(), 0);
    }

    #[test]
    fn buckets_stay_short() {
        let mut map = FlowMap::new(0x1234_5678_9abc_def0);
        for i in 0..4096 {
            map.insert(flow(i), ()).unwrap();
        }
        let mut longest = 0;
        for &head in &map.buckets {
            let (mut index, mut length) = (head, 0);
            while let Some(slot) = map.slots.get(index as usize) {
                (index, length) = (slot.next, length + 1);
            }
            longest = longest.max(length);
        }
        assert!(longest <= 10, "a bucket holds {longest} flows");
    }
}
