//! Virtio devices of QEMU behind the device traits.
//!
//! The `virtio-drivers` crate has the transport by MMIO and the PCI bus. The rings are our own: the crate's
//! queue costs 340 instructions for each buffer that goes out and comes back, where `ring` and
//! `queue` take 80; it cannot tell the device of several buffers at once; and its drivers wait
//! for the device, borrow their buffers, leave out checksum and segmentation offload, and panic on
//! some of what a device may say.
//!
//! # A virtqueue
//!
//! Three arrays in memory that both sides see (Virtual I/O Device 1.2, section 2.7):
//!
//! ```text
//!             written by the driver                      written by the device
//!   descriptors          available ring                  used ring
//!   0: address, length   flags: "do not interrupt"       flags: "do not notify"
//!   1: address, length   index ──┐ one past the last     index ──┐ one past the last
//!   …                    [ head, head, head, … ]         [ (head, bytes written), … ]
//! ```
//!
//! To offer a buffer, the driver fills a descriptor, stores its number in the next slot of the
//! available ring, and *then* the new index; it notifies the device by a write to a register,
//! unless the device's flag says that it is looking anyway. The device takes the buffer, does its
//! work, stores the number and how many bytes it wrote in the used ring, and *then* its index; it
//! interrupts, unless the driver's flag says that it is looking anyway. The numbers in the used
//! ring are allegations: `queue` returns a buffer only if it is really out.
//!
//! Where both sides know `VIRTIO_F_EVENT_IDX`, an index takes the place of the flag: "tell me when
//! you have passed this one".
#![no_std]

extern crate alloc;

mod block;
mod buffers;
mod console;
mod device;
mod dma;
mod entropy;
mod error;
mod line;
mod mmio;
mod negotiate;
mod net;
mod pci;
mod queue;
mod ring;
mod transport;

#[cfg(test)]
mod fake;

pub use device::{Device, Kind, Name, Started};
pub use error::{FindError, StartError};
pub use mmio::MmioWindow;
pub use pci::find_pci;
