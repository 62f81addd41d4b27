//! Block devices.

use core::task::{Context, Poll};

use crate::{BlockBuffer, DeviceError};

/// Most bytes that a [`BlockOperation::Discard`] covers; a device that takes less at a time does
/// not offer it.
pub const MAX_DISCARD: usize = 1 << 30;

/// Most bytes of a serial number.
pub const SERIAL_SIZE: usize = 20;

/// What a block device is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BlockInfo {
    /// Size of a sector in bytes, a power of two of at least 512: the unit of every transfer.
    pub sector_size: usize,
    /// Number of sectors.
    pub sectors: u64,
    /// Writes fail.
    pub read_only: bool,
    /// It is a CD, or something else that can be taken out.
    pub removable: bool,
    /// Most sectors in one request.
    pub max_sectors: usize,
    /// The device has a volatile cache that `Flush` empties.
    pub can_flush: bool,
    /// The device takes `Discard`.
    pub can_discard: bool,
}

/// What to do.
#[derive(Debug)]
pub enum BlockOperation {
    /// Fill the buffer from the device. Its length is a multiple of the sector size, not zero.
    Read(BlockBuffer),
    /// Write the buffer to the device. Its length is a multiple of the sector size, not zero.
    Write(BlockBuffer),
    /// Make everything that completed before durable.
    Flush,
    /// Fill the start of the buffer, which is [`MIN_SECTOR_SIZE`](crate::MIN_SECTOR_SIZE) long, with
    /// the device's serial number: ASCII, ended by a zero byte or after [`SERIAL_SIZE`].
    Identify(BlockBuffer),
    /// Forget the contents of this many sectors, at most [`MAX_DISCARD`] bytes.
    Discard(u32),
}

/// One request.
#[derive(Debug)]
pub struct BlockRequest {
    /// Chosen by the caller, unique among the requests under way, returned in the completion.
    pub id: u64,
    /// First sector.
    pub sector: u64,
    /// What to do there.
    pub operation: BlockOperation,
}

/// The end of a request.
#[derive(Debug)]
pub struct Completion {
    /// The request's id.
    pub id: u64,
    /// The request's buffer, if it had one.
    pub buffer: Option<BlockBuffer>,
    /// How it went.
    pub result: Result<(), DeviceError>,
}

/// A block device: a queue of requests, answered in any order.
pub trait BlockDevice {
    /// What the device is.
    fn info(&self) -> BlockInfo;

    /// Queues a request, which the caller has checked against `info`. Gives it back if the queue
    /// is full.
    fn submit(&mut self, request: BlockRequest) -> Result<(), BlockRequest>;

    /// Tells the device of all that was queued since the last call.
    fn flush_queue(&mut self);

    /// Takes the next completion, in the order in which the device answered.
    fn complete(&mut self) -> Option<Completion>;

    /// Ready when there may be a completion; an error when the device is gone. When it returns
    /// pending, notifications are armed and the queue was looked at again after that.
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), DeviceError>>;
}
