//! One request to a virtio block device (Virtual I/O Device 1.2, section 5.2.6).
//!
//! ```text
//! read by the device      type: u32, reserved: u32, sector: u64
//!   of a write            the data
//!   of a discard          sector: u64, sectors: u32, flags: u32
//! written by the device   of a read: the data, of a question for the serial number: 20 bytes
//!                         status: u8
//! ```

use alloc::rc::Rc;

use mayfly_device::{
    BlockBuffer, BlockOperation, BlockRequest, Completion, DeviceError, FrameBuf, FramePool,
    SERIAL_SIZE,
};
use zerocopy::{
    FromBytes, Immutable, IntoBytes, KnownLayout,
    little_endian::{U32, U64},
};

use super::config::UNIT;
use crate::queue::{Parts, Transfer};

const IN: u32 = 0;
const OUT: u32 = 1;
const FLUSH: u32 = 4;
const GET_ID: u32 = 8;
const DISCARD: u32 = 11;

const STATUS_OK: u8 = 0;
const STATUS_UNSUPPORTED: u8 = 2;
/// What the status is before the device has written it.
const STATUS_NONE: u8 = 0xff;

/// Everything of a request but its data. Not touched while the device has it.
#[derive(FromBytes, Immutable, IntoBytes, KnownLayout)]
#[repr(C)]
struct Control {
    kind: U32,
    reserved: U32,
    sector: U64,
    discard_sector: U64,
    discard_sectors: U32,
    discard_flags: U32,
    status: u8,
}

const HEADER_SIZE: usize = 16;
const STATUS_OFFSET: usize = 32;

/// Bytes that a control takes in its pool.
pub(super) const CONTROL_SIZE: usize = 64;

/// A request that the device has, or is about to get.
pub(super) struct Request {
    request: BlockRequest,
    control: FrameBuf,
}

impl Request {
    /// Writes the control of a request. Gives the request back if there is no memory for it.
    pub(super) fn new(
        request: BlockRequest,
        sector_size: usize,
        controls: &Rc<dyn FramePool>,
    ) -> Result<Self, BlockRequest> {
        let Some(mut control) = FrameBuf::allocate(controls, 0) else {
            return Err(request);
        };
        let units = (sector_size / UNIT) as u64;
        let sector = request.sector.saturating_mul(units);
        let (kind, sectors) = match &request.operation {
            BlockOperation::Read(_) => (IN, 0),
            BlockOperation::Write(_) => (OUT, 0),
            BlockOperation::Flush => (FLUSH, 0),
            BlockOperation::Identify(_) => (GET_ID, 0),
            BlockOperation::Discard(sectors) => (DISCARD, u64::from(*sectors)),
        };
        let content = Control {
            kind: kind.into(),
            reserved: 0.into(),
            // The standard wants zero where a position has no meaning.
            sector: if kind == IN || kind == OUT { sector } else { 0 }.into(),
            discard_sector: sector.into(),
            discard_sectors: u32::try_from(sectors.saturating_mul(units))
                .unwrap_or(u32::MAX)
                .into(),
            discard_flags: 0.into(),
            status: STATUS_NONE,
        };
        // Cannot fail: the pool's buffers are larger.
        match content.write_to_prefix(control.whole_mut()) {
            Ok(()) => Ok(Self { request, control }),
            Err(_) => Err(request),
        }
    }

    /// Takes the request back that was not queued.
    pub(super) fn into_block_request(self) -> BlockRequest {
        self.request
    }

    /// What the device has answered.
    pub(super) fn complete(self) -> Completion {
        let result = match self.control.whole().get(STATUS_OFFSET) {
            Some(&STATUS_OK) => Ok(()),
            Some(&STATUS_UNSUPPORTED) => Err(DeviceError::Unsupported),
            _ => Err(DeviceError::Io),
        };
        let buffer: Option<BlockBuffer> = match self.request.operation {
            BlockOperation::Read(buffer)
            | BlockOperation::Write(buffer)
            | BlockOperation::Identify(buffer) => Some(buffer),
            BlockOperation::Flush | BlockOperation::Discard(_) => None,
        };
        Completion { id: self.request.id, buffer, result }
    }
}

// SAFETY: the control and the data have fixed places on the heap and belong to the request alone;
// it does not touch them while the device has them. Neither is empty: `BlockOperation` says so of
// the data.
unsafe impl Transfer for Request {
    const PARTS: usize = 3;

    fn with_parts<R>(&mut self, f: impl for<'a> FnOnce(Parts<'a>) -> R) -> R {
        let (head, tail) = self.control.whole_mut().split_at_mut(STATUS_OFFSET);
        let (header, discard) = head.split_at_mut(HEADER_SIZE);
        let (status, _) = tail.split_at_mut(1);
        match &mut self.request.operation {
            BlockOperation::Read(data) => {
                f(Parts { read: &[header], written: &mut [data, status] })
            }
            BlockOperation::Identify(data) => {
                let serial = data.get_mut(..SERIAL_SIZE).unwrap_or_default();
                f(Parts { read: &[header], written: &mut [serial, status] })
            }
            BlockOperation::Write(data) => {
                f(Parts { read: &[header, data], written: &mut [status] })
            }
            BlockOperation::Flush => f(Parts { read: &[header], written: &mut [status] }),
            BlockOperation::Discard(_) => {
                f(Parts { read: &[header, discard], written: &mut [status] })
            }
        }
    }
}

const _: () = {
    assert!(core::mem::offset_of!(Control, discard_sector) == HEADER_SIZE);
    assert!(core::mem::offset_of!(Control, status) == STATUS_OFFSET);
    assert!(size_of::<Control>() <= CONTROL_SIZE);
};
