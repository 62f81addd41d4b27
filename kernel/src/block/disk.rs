//! What an app sees of a disk.

use alloc::{boxed::Box, collections::VecDeque, rc::Rc, string::String};
use core::fmt;

use mayfly_device::{
    BlockBuffer, BlockDevice, BlockOperation, DeviceError, MAX_DISCARD, MIN_SECTOR_SIZE,
    SERIAL_SIZE,
};

use super::{Error, operation::Operation, runner, shared::Shared};
use crate::executor;

/// Requests of one transfer that are under way at once.
const WINDOW: usize = 4;

/// A disk. Cheap to clone; all clones are the same disk.
///
/// Offsets and lengths are in bytes and must be multiples of the [sector
/// size](Self::sector_size). Operations that overlap and are under way together happen in any
/// order; what was awaited has happened.
///
/// ```no_run
/// # async fn example(disk: mayfly::block::Disk) -> Result<(), mayfly::block::Error> {
/// let mut first = [0; 4096];
/// disk.read(0, &mut first).await?;
/// disk.write(4096, &first).await?;
/// disk.flush().await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Disk {
    shared: Rc<Shared>,
}

impl Disk {
    /// The disk behind `device`, and the task that serves it.
    #[cfg_attr(not(target_os = "none"), allow(dead_code, reason = "tests start disks too"))]
    pub(crate) fn start(device: Box<dyn BlockDevice>) -> Self {
        let shared = Rc::new(Shared::new(device));
        executor::spawn_essential("disk", runner::run(Rc::clone(&shared))).detach();
        Self { shared }
    }

    /// Size of the disk in bytes.
    pub fn size(&self) -> u64 {
        // Cannot wrap unless the device lies about itself; then every range is beyond the end.
        self.shared.info.sectors.saturating_mul(self.shared.info.sector_size as u64)
    }

    /// What offsets and lengths must be multiples of, in bytes: a power of two of at least 512.
    pub fn sector_size(&self) -> usize {
        self.shared.info.sector_size
    }

    /// Whether the disk cannot be written.
    pub fn is_read_only(&self) -> bool {
        self.shared.info.read_only
    }

    /// Whether the disk is a CD, or something else that can be taken out.
    pub fn is_removable(&self) -> bool {
        self.shared.info.removable
    }

    /// Whether [`discard`](Self::discard) is possible.
    pub fn can_discard(&self) -> bool {
        self.shared.info.can_discard && !self.is_read_only()
    }

    /// Fills `data` from the disk.
    ///
    /// # Errors
    /// When the range is misaligned or not on the disk, memory is short, or the device fails. What
    /// `data` holds then is unknown.
    pub async fn read(&self, offset: u64, data: &mut [u8]) -> Result<(), Error> {
        let first = self.check(offset, data.len() as u64)?;
        let mut transfer = Transfer::new(self, first, data.len());
        let mut done = 0;
        while done < data.len() {
            while let Some((sector, buffer)) = transfer.next_piece()? {
                transfer.start(sector, BlockOperation::Read(buffer))?;
            }
            let buffer = transfer.finish_one().await?;
            let end = done + buffer.len();
            let Some(piece) = data.get_mut(done..end) else {
                return Err(DeviceError::Protocol.into());
            };
            piece.copy_from_slice(&buffer);
            self.shared.recycle(buffer);
            done = end;
        }
        Ok(())
    }

    /// Writes `data` to the disk. Durable after a [`flush`](Self::flush).
    ///
    /// # Errors
    /// As [`read`](Self::read), and when the disk is read-only. How much was written then is
    /// unknown.
    pub async fn write(&self, offset: u64, data: &[u8]) -> Result<(), Error> {
        let first = self.check(offset, data.len() as u64)?;
        self.check_writable()?;
        let mut transfer = Transfer::new(self, first, data.len());
        let (mut rest, mut unconfirmed) = (data, data.len());
        while unconfirmed > 0 {
            while let Some((sector, mut buffer)) = transfer.next_piece()? {
                let Some((piece, after)) = rest.split_at_checked(buffer.len()) else {
                    return Err(DeviceError::Protocol.into());
                };
                buffer.copy_from_slice(piece);
                rest = after;
                transfer.start(sector, BlockOperation::Write(buffer))?;
            }
            let buffer = transfer.finish_one().await?;
            unconfirmed = unconfirmed.saturating_sub(buffer.len());
            self.shared.recycle(buffer);
        }
        Ok(())
    }

    /// Makes every write that was awaited before durable.
    ///
    /// # Errors
    /// When the device fails: then it is unknown what is durable.
    pub async fn flush(&self) -> Result<(), Error> {
        if self.shared.info.can_flush {
            Operation::start(&self.shared, 0, BlockOperation::Flush)?.await?;
        }
        Ok(())
    }

    /// Tells the disk that the contents of a range are not needed any more. What a later read finds
    /// there is unknown.
    ///
    /// # Errors
    /// As [`write`](Self::write), and [`DeviceError::Unsupported`] where the disk
    /// [cannot](Self::can_discard).
    pub async fn discard(&self, offset: u64, length: u64) -> Result<(), Error> {
        let first = self.check(offset, length)?;
        self.check_writable()?;
        if !self.shared.info.can_discard {
            return Err(DeviceError::Unsupported.into());
        }
        let end = first + length / self.sector_size() as u64;
        let most = (MAX_DISCARD / self.sector_size()) as u64;
        let mut sector = first;
        while sector < end {
            let count = most.min(end - sector);
            // `MAX_DISCARD` keeps it within 32 bits.
            let operation = BlockOperation::Discard(count as u32);
            Operation::start(&self.shared, sector, operation)?.await?;
            sector += count;
        }
        Ok(())
    }

    /// The serial number that the disk was given (QEMU: `serial=`), which tells it from others
    /// whatever their order. Empty if it was given none.
    ///
    /// # Errors
    /// When the device fails, or has no such thing: [`DeviceError::Unsupported`].
    pub async fn serial(&self) -> Result<String, Error> {
        let mut buffer = self.shared.buffer(MIN_SECTOR_SIZE).ok_or(Error::OutOfMemory)?;
        buffer.fill(0);
        let operation = BlockOperation::Identify(buffer);
        let answer = Operation::start(&self.shared, 0, operation)?.await?;
        let buffer = answer.ok_or(Error::Device(DeviceError::Protocol))?;
        let text = buffer.get(..SERIAL_SIZE).unwrap_or_default();
        let text = text.split(|byte| *byte == 0).next().unwrap_or_default();
        let serial = String::from_utf8_lossy(text).into_owned();
        self.shared.recycle(buffer);
        Ok(serial)
    }

    /// Checks a range and returns its first sector.
    fn check(&self, offset: u64, length: u64) -> Result<u64, Error> {
        let sector_size = self.sector_size();
        let unit = sector_size as u64;
        if !offset.is_multiple_of(unit) || !length.is_multiple_of(unit) {
            return Err(Error::Misaligned { sector_size });
        }
        match offset.checked_add(length) {
            Some(end) if end <= self.size() => Ok(offset / unit),
            _ => Err(Error::OutOfRange { size: self.size() }),
        }
    }

    fn check_writable(&self) -> Result<(), Error> {
        if self.is_read_only() { Err(Error::ReadOnly) } else { Ok(()) }
    }
}

impl fmt::Debug for Disk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Disk").field(&self.shared.info).finish()
    }
}

/// A transfer on its way, in pieces that the device takes.
struct Transfer<'a> {
    disk: &'a Disk,
    /// Sector of the next piece.
    sector: u64,
    /// Bytes that are not in any piece yet.
    rest: usize,
    /// Largest piece in bytes; smaller when memory was short.
    largest: usize,
    under_way: VecDeque<Operation>,
}

impl<'a> Transfer<'a> {
    fn new(disk: &'a Disk, sector: u64, length: usize) -> Self {
        let info = &disk.shared.info;
        let largest = info.max_sectors.saturating_mul(info.sector_size);
        Self { disk, sector, rest: length, largest, under_way: VecDeque::new() }
    }

    /// Sector and buffer of the next piece. `None` if enough pieces are under way, all are, or
    /// memory is short and a piece that is under way will give some back.
    fn next_piece(&mut self) -> Result<Option<(u64, BlockBuffer)>, Error> {
        if self.rest == 0 || self.under_way.len() >= WINDOW {
            return Ok(None);
        }
        let sector_size = self.disk.sector_size();
        loop {
            let size = self.rest.min(self.largest);
            if let Some(buffer) = self.disk.shared.buffer(size) {
                let sector = self.sector;
                self.rest -= size;
                self.sector += (size / sector_size) as u64;
                return Ok(Some((sector, buffer)));
            }
            if !self.under_way.is_empty() {
                return Ok(None);
            }
            if size <= sector_size {
                return Err(Error::OutOfMemory);
            }
            self.largest = (size / 2).next_multiple_of(sector_size);
        }
    }

    fn start(&mut self, sector: u64, operation: BlockOperation) -> Result<(), Error> {
        self.under_way.try_reserve(1).map_err(|_| Error::OutOfMemory)?;
        self.under_way.push_back(Operation::start(&self.disk.shared, sector, operation)?);
        Ok(())
    }

    /// Waits for the piece that was started first, and returns its buffer.
    async fn finish_one(&mut self) -> Result<BlockBuffer, Error> {
        let operation = self.under_way.pop_front().ok_or(Error::Device(DeviceError::Protocol))?;
        // A transfer's request comes back with its buffer, or the driver is wrong.
        operation.await?.ok_or(Error::Device(DeviceError::Protocol))
    }
}
