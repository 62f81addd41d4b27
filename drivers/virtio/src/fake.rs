//! A virtio device played by a test: the transport, and the device's side of the rings.

use alloc::{boxed::Box, rc::Rc, vec, vec::Vec};
use core::{cell::RefCell, ptr};

use virtio_drivers::{
    Error, PhysAddr, Result,
    transport::{DeviceStatus, DeviceType, InterruptStatus, Transport},
};
use zerocopy::{FromBytes, Immutable, IntoBytes};

use crate::line::Line;

#[derive(Clone, Default)]
struct FakeQueue {
    size: u32,
    descriptors: PhysAddr,
    available: PhysAddr,
    used: PhysAddr,
    next_available: u16,
    notified: usize,
}

/// What the transport and the test share.
pub(crate) struct State {
    device_type: DeviceType,
    offered: u64,
    pub(crate) accepted: u64,
    status: DeviceStatus,
    /// How often the driver has read it.
    pub(crate) status_reads: usize,
    configuration: Vec<u8>,
    queues: Vec<FakeQueue>,
}

/// The driver's side.
pub(crate) struct FakeTransport(Rc<RefCell<State>>);

/// The device's side.
pub(crate) struct FakeDevice {
    pub(crate) state: Rc<RefCell<State>>,
    pub(crate) line: &'static Line,
}

/// One descriptor of a chain that the driver offered.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Part {
    address: *mut u8,
    pub(crate) length: usize,
    pub(crate) writable: bool,
}

impl Part {
    pub(crate) fn read(&self) -> Vec<u8> {
        let mut bytes = vec![0; self.length];
        // SAFETY: the driver lent this memory and does not touch it.
        unsafe { ptr::copy_nonoverlapping(self.address, bytes.as_mut_ptr(), self.length) };
        bytes
    }

    pub(crate) fn write(&self, bytes: &[u8]) {
        assert!(self.writable && bytes.len() <= self.length);
        // SAFETY: as above, and it may be written.
        unsafe { ptr::copy_nonoverlapping(bytes.as_ptr(), self.address, bytes.len()) };
    }
}

/// A device and the transport to it.
pub(crate) fn device(
    device_type: DeviceType,
    offered: u64,
    configuration: &[u8],
    queues: usize,
) -> (FakeDevice, crate::transport::Transport) {
    let state = Rc::new(RefCell::new(State {
        device_type,
        offered: offered | crate::negotiate::VERSION_1,
        accepted: 0,
        status: DeviceStatus::empty(),
        status_reads: 0,
        configuration: configuration.to_vec(),
        queues: vec![FakeQueue::default(); queues],
    }));
    let line = Box::leak(Box::new(Line::message()));
    let transport = crate::transport::Transport::Fake(FakeTransport(Rc::clone(&state)));
    (FakeDevice { state, line }, transport)
}

impl FakeDevice {
    pub(crate) fn notified(&self, queue: usize) -> usize {
        self.state.borrow().queues[queue].notified
    }

    /// Whether the driver wants an interrupt.
    pub(crate) fn wants_interrupt(&self, queue: usize) -> bool {
        // SAFETY: the queue is set up, so its available ring is there.
        unsafe { *(self.state.borrow().queues[queue].available as *const u16) == 0 }
    }

    /// Sets the flag that asks the driver not to notify.
    pub(crate) fn suppress_notifications(&self, queue: usize, suppress: bool) {
        // SAFETY: the queue is set up, so its used ring is there.
        unsafe { *(self.state.borrow().queues[queue].used as *mut u16) = u16::from(suppress) }
    }

    /// After which used buffer the driver wants an interrupt.
    pub(crate) fn used_event(&self, queue: usize) -> u16 {
        let state = self.state.borrow();
        let queue = &state.queues[queue];
        // SAFETY: as above.
        unsafe { *((queue.available + 4 + 2 * u64::from(queue.size)) as *const u16) }
    }

    /// Says after which available buffer the device wants to be notified.
    pub(crate) fn set_available_event(&self, queue: usize, event: u16) {
        let state = self.state.borrow();
        let queue = &state.queues[queue];
        // SAFETY: as above.
        unsafe { *((queue.used + 4 + 8 * u64::from(queue.size)) as *mut u16) = event }
    }

    /// Says that the device is lost.
    pub(crate) fn ask_for_reset(&self) {
        self.state.borrow_mut().status |= DeviceStatus::DEVICE_NEEDS_RESET;
    }

    /// How many buffers the driver has offered that were not taken.
    pub(crate) fn offered(&self, queue: usize) -> u16 {
        let state = self.state.borrow();
        let queue = &state.queues[queue];
        // SAFETY: as above.
        let index = unsafe { *((queue.available + 2) as *const u16) };
        index.wrapping_sub(queue.next_available)
    }

    /// Takes the next chain that the driver offered: its number and its parts.
    pub(crate) fn take(&self, queue: usize) -> Option<(u16, Vec<Part>)> {
        if self.offered(queue) == 0 {
            return None;
        }
        let mut state = self.state.borrow_mut();
        let queue = &mut state.queues[queue];
        let slot = u64::from(u32::from(queue.next_available) % queue.size);
        queue.next_available = queue.next_available.wrapping_add(1);
        // SAFETY: the slot lies in the available ring of a queue that is set up.
        let head = unsafe { *((queue.available + 4 + 2 * slot) as *const u16) };
        let mut parts = Vec::new();
        let mut number = head;
        loop {
            let descriptor = queue.descriptors + 16 * u64::from(number);
            // SAFETY: the driver wrote this descriptor, and it is within the table.
            let (address, length, flags, next) = unsafe {
                (
                    *(descriptor as *const u64),
                    *((descriptor + 8) as *const u32),
                    *((descriptor + 12) as *const u16),
                    *((descriptor + 14) as *const u16),
                )
            };
            parts.push(Part {
                address: ptr::with_exposed_provenance_mut(address as usize),
                length: length as usize,
                writable: flags & 2 != 0,
            });
            if flags & 1 == 0 {
                return Some((head, parts));
            }
            number = next;
        }
    }

    /// Puts an entry into the used ring, whatever it says.
    pub(crate) fn put_used(&self, queue: usize, id: u32, length: u32) {
        let state = self.state.borrow();
        let queue = &state.queues[queue];
        // SAFETY: the used ring of a queue that is set up.
        unsafe {
            let index = (queue.used + 2) as *mut u16;
            let slot = queue.used + 4 + 8 * u64::from(u32::from(*index) % queue.size);
            *(slot as *mut u32) = id;
            *((slot + 4) as *mut u32) = length;
            *index = (*index).wrapping_add(1);
        }
    }

    /// Moves the index of the used ring by any amount.
    pub(crate) fn skew_used(&self, queue: usize, by: u16) {
        // SAFETY: as above.
        unsafe {
            let index = (self.state.borrow().queues[queue].used + 2) as *mut u16;
            *index = (*index).wrapping_add(by);
        }
    }
}

impl Transport for FakeTransport {
    fn device_type(&self) -> DeviceType {
        self.0.borrow().device_type
    }

    fn read_device_features(&mut self) -> u64 {
        self.0.borrow().offered
    }

    fn write_driver_features(&mut self, features: u64) {
        self.0.borrow_mut().accepted = features;
    }

    fn max_queue_size(&mut self, _queue: u16) -> u32 {
        256
    }

    fn notify(&mut self, queue: u16) {
        self.0.borrow_mut().queues[usize::from(queue)].notified += 1;
    }

    fn get_status(&self) -> DeviceStatus {
        let mut state = self.0.borrow_mut();
        state.status_reads += 1;
        state.status
    }

    fn set_status(&mut self, status: DeviceStatus) {
        self.0.borrow_mut().status = status;
    }

    fn set_guest_page_size(&mut self, _size: u32) {}

    fn requires_legacy_layout(&self) -> bool {
        false
    }

    fn queue_set(
        &mut self,
        queue: u16,
        size: u32,
        descriptors: PhysAddr,
        available: PhysAddr,
        used: PhysAddr,
    ) {
        self.0.borrow_mut().queues[usize::from(queue)] =
            FakeQueue { size, descriptors, available, used, ..FakeQueue::default() };
    }

    fn queue_unset(&mut self, queue: u16) {
        self.0.borrow_mut().queues[usize::from(queue)] = FakeQueue::default();
    }

    fn queue_used(&mut self, queue: u16) -> bool {
        self.0.borrow().queues[usize::from(queue)].size != 0
    }

    fn ack_interrupt(&mut self) -> InterruptStatus {
        InterruptStatus::empty()
    }

    fn read_config_generation(&self) -> u32 {
        0
    }

    fn read_config_space<T: FromBytes + IntoBytes>(&self, offset: usize) -> Result<T> {
        let state = self.0.borrow();
        let bytes = state.configuration.get(offset..).ok_or(Error::ConfigSpaceTooSmall)?;
        T::read_from_prefix(bytes).map(|(value, _)| value).map_err(|_| Error::ConfigSpaceTooSmall)
    }

    fn write_config_space<T: IntoBytes + Immutable>(&mut self, _: usize, _: T) -> Result<()> {
        Err(Error::Unsupported)
    }
}
