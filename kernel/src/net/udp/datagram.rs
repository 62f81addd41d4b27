//! Datagrams that have come in, and where they wait to be read.
//!
//! A datagram stays in the buffer that the device put it into, so that it is not copied. But peers
//! decide how many come, and a device without buffers hears nobody: no TCP, no ARP, no DHCP. So all
//! queues together keep no more buffers than the device can spare, and what comes beyond those is
//! copied to buffers of the heap, as far as there is memory. The limit of each queue holds for both
//! kinds.

use alloc::{
    boxed::Box,
    rc::{Rc, Weak},
};
use core::{
    fmt,
    net::{IpAddr, SocketAddr},
};

use mayfly_device::{FrameBuf, FramePool, PagePool};
use smoltcp::wire::{IpAddress, IpEndpoint};

use super::Binding;
use crate::{
    memory::{self, PAGE_SIZE},
    net::{
        stack::Stack,
        tcp::{LAST_MEMORY, free_memory},
    },
};

/// A datagram that has come in, as a rule in the buffer that the device put it into.
///
/// It occupies one of the device's buffers: read it and drop it soon.
pub struct Datagram {
    pub(super) frame: FrameBuf,
    /// Where its payload is: in a frame behind headers, in a copy at the start.
    pub(super) start: usize,
    pub(super) end: usize,
    pub(super) peer: IpEndpoint,
    pub(super) local: IpAddress,
}

impl Datagram {
    /// What it says.
    pub fn payload(&self) -> &[u8] {
        self.frame.bytes().get(self.start..self.end).unwrap_or_default()
    }

    /// Who sent it.
    pub fn peer(&self) -> SocketAddr {
        self.peer.into()
    }

    /// The address that it was sent to: one of the network's own, or a broadcast address.
    pub fn local(&self) -> IpAddr {
        self.local.into()
    }

    /// Whether it is one of the frames that the device spares.
    #[inline]
    fn is_kept(&self) -> bool {
        self.start > 0
    }
}

impl fmt::Debug for Datagram {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Datagram({} bytes from {})", self.end - self.start, self.peer)
    }
}

/// What the queues of a network hold.
#[derive(Default)]
pub(in crate::net) struct Kept {
    /// Buffers of the device.
    frames: usize,
    /// Where copies are, as long as there are some: their memory is returned with the last one.
    copies: Weak<PagePool>,
}

impl Kept {
    /// Counts a frame that waits. Returns false for one that the device cannot spare: because there
    /// are `most` already, or because it is in one of the few large buffers for long TCP packets.
    #[inline]
    pub(super) fn keep(&mut self, frame: &FrameBuf, most: usize) -> bool {
        let is_spared = self.frames < most && frame.whole().len() <= PAGE_SIZE;
        self.frames += usize::from(is_spared);
        is_spared
    }

    /// A buffer of the heap with these bytes. `None` if there is no memory, or if they are more than
    /// any datagram of a link with this MTU has.
    fn copy(&mut self, bytes: &[u8], mtu: usize) -> Option<FrameBuf> {
        if bytes.len() > mtu || free_memory() < LAST_MEMORY {
            return None;
        }
        let pool: Rc<dyn FramePool> = match self.copies.upgrade() {
            Some(pool) => pool,
            None => {
                memory::try_room(size_of::<PagePool>() + size_of::<[usize; 2]>(), "datagrams")
                    .ok()?;
                // The queues are limited.
                let pool = Rc::new(PagePool::new(mtu.next_power_of_two().max(64), usize::MAX));
                self.copies = Rc::downgrade(&pool);
                pool
            }
        };
        let mut copy = FrameBuf::allocate(&pool, 0)?;
        if !copy.set_range(0, bytes.len()) {
            return None;
        }
        copy.bytes_mut().copy_from_slice(bytes);
        Some(copy)
    }
}

impl Binding {
    /// Takes the oldest datagram.
    #[inline]
    pub(super) fn take(&mut self, kept: &mut Kept) -> Option<Datagram> {
        let datagram = self.queue.pop_front()?;
        kept.frames -= usize::from(datagram.is_kept());
        Some(datagram)
    }
}

impl Stack {
    /// Moves the newest datagram in a queue, whose frame was not counted, out of its frame, or drops
    /// it.
    #[cold]
    pub(super) fn copy_newest(&mut self, port: u16) {
        let Some(binding) = self.bindings.get_mut(port) else { return };
        let Some(datagram) = binding.queue.back_mut() else { return };
        match self.kept.copy(datagram.payload(), self.port.info.mtu) {
            Some(copy) => {
                (datagram.start, datagram.end) = (0, copy.bytes().len());
                datagram.frame = copy;
            }
            None => {
                binding.queue.pop_back();
                self.port.stats.dropped_datagrams += 1;
            }
        }
    }

    /// Frees a port. What was not read goes with what is returned.
    pub(super) fn unbind(&mut self, port: u16) -> Option<Box<Binding>> {
        let binding = self.bindings.remove(port)?;
        self.kept.frames -= binding.queue.iter().filter(|datagram| datagram.is_kept()).count();
        Some(binding)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(capacity: usize) -> FrameBuf {
        let pool: Rc<dyn FramePool> = Rc::new(PagePool::new(capacity, 2));
        FrameBuf::allocate(&pool, 0).unwrap()
    }

    #[test]
    fn copies_say_the_same_and_go_together() {
        let mut kept = Kept::default();
        let copies = [[1; 100], [2; 100], [3; 100]].map(|bytes| kept.copy(&bytes, 100).unwrap());
        assert!(copies.iter().zip(1..).all(|(copy, number)| copy.bytes() == [number; 100]));
        assert!(kept.copy(&[4; 101], 100).is_none(), "longer than the link takes");
        assert!(kept.copies.upgrade().is_some());
        drop(copies);
        assert!(kept.copies.upgrade().is_none(), "memory is kept");
        assert_eq!(kept.copy(&[], 100).unwrap().bytes(), []);
    }

    #[test]
    fn large_buffers_and_too_many_others_are_not_spared() {
        let mut kept = Kept::default();
        assert!(!kept.keep(&frame(8192), 2));
        assert!(kept.keep(&frame(2048), 2) && kept.keep(&frame(4096), 2));
        assert!(!kept.keep(&frame(4096), 2));
    }
}
