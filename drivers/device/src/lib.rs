//! What a driver offers and what it needs, so that the drivers for virtio and Unix, and those for
//! Xen when they come, look the same to the kernel, and so that every driver runs against fakes on
//! the host.
//!
//! A device is a pair of queues and an interrupt. Nothing here blocks: a queue that is full or
//! empty says so, and `poll_ready` tells when to look again. It re-arms the notification *and then*
//! looks at the queue again, so that no wake-up is lost between the two.
#![no_std]

extern crate alloc;

mod block;
mod block_buffer;
mod boxed;
mod checksum;
mod console;
mod entropy;
mod error;
mod frame;
mod interrupt;
mod net;
mod pool;

pub use block::{
    BlockDevice, BlockInfo, BlockOperation, BlockRequest, Completion, MAX_DISCARD, SERIAL_SIZE,
};
pub use block_buffer::{BlockBuffer, MIN_SECTOR_SIZE};
pub use boxed::Boxed;
pub use checksum::PartialChecksum;
pub use console::ConsoleDevice;
pub use entropy::EntropySource;
pub use error::DeviceError;
pub use frame::{FrameBuf, FramePool, FrameSlot, SharedFrame};
pub use interrupt::{InterruptHandler, Signal};
pub use net::{Checksums, LinkChange, NetDevice, NetInfo, Received, Segmentation, is_unicast};
pub use pool::PagePool;
