//! A disk in a file of the host, or on one of its block devices.
//!
//! Requests are carried out at once: what takes the host longer than the guest wants to wait for
//! is reading a page that is not in its cache, and that is the developer's own machine. They are
//! reported later, through the same queue as with a real disk.

use std::{
    collections::VecDeque,
    fs::{File, OpenOptions},
    io::{self, Seek, SeekFrom},
    os::unix::fs::FileExt,
    task::{Context, Poll},
};

use mayfly_device::{
    BlockDevice, BlockInfo, BlockOperation, BlockRequest, Completion, DeviceError, MIN_SECTOR_SIZE,
    Signal,
};
use rustix::fs::{FallocateFlags, fallocate};

use crate::OpenError;

/// Most requests under way, as many as a queue of virtio-blk has by default.
const MAX_REQUESTS: usize = 128;
/// Most sectors in one request: 1 MiB.
const MAX_SECTORS: usize = 2048;

/// A block device in a file.
pub struct Disk {
    file: File,
    info: BlockInfo,
    completions: VecDeque<Completion>,
    done: Signal,
}

impl Disk {
    /// Opens the file `path`. What is beyond its last whole sector is not part of the disk.
    ///
    /// # Errors
    /// It is not there, not ours to use, or empty.
    pub fn open(path: &str, read_only: bool) -> Result<Self, OpenError> {
        let fail = |error| OpenError::Disk { path: path.to_owned(), error };
        let mut file = OpenOptions::new().read(true).write(!read_only).open(path).map_err(fail)?;
        // The size of a block device is not in its metadata, but its end can be found.
        let sectors = file.seek(SeekFrom::End(0)).map_err(fail)? / MIN_SECTOR_SIZE as u64;
        if sectors == 0 {
            return Err(OpenError::EmptyDisk(path.to_owned()));
        }
        let info = BlockInfo {
            sector_size: MIN_SECTOR_SIZE,
            sectors,
            read_only,
            removable: false,
            max_sectors: MAX_SECTORS,
            can_flush: true,
            can_discard: !read_only,
        };
        Ok(Self { file, info, completions: VecDeque::new(), done: Signal::new() })
    }

    fn discard(&self, offset: u64, sectors: u32) -> io::Result<()> {
        let length = u64::from(sectors) * MIN_SECTOR_SIZE as u64;
        if length == 0 {
            return Ok(());
        }
        let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
        Ok(fallocate(&self.file, flags, offset, length)?)
    }

    fn carry_out(&self, request: BlockRequest) -> Completion {
        let offset = request.sector.checked_mul(MIN_SECTOR_SIZE as u64);
        let Some(offset) = offset else {
            return Completion { id: request.id, buffer: None, result: Err(DeviceError::Io) };
        };
        let (buffer, result) = match request.operation {
            BlockOperation::Read(mut buffer) => {
                let result = self.file.read_exact_at(&mut buffer, offset);
                (Some(buffer), result)
            }
            BlockOperation::Write(buffer) => {
                let result = self.file.write_all_at(&buffer, offset);
                (Some(buffer), result)
            }
            // A file has none.
            BlockOperation::Identify(buffer) => {
                (Some(buffer), Err(io::ErrorKind::Unsupported.into()))
            }
            BlockOperation::Flush => (None, self.file.sync_data()),
            BlockOperation::Discard(sectors) => (None, self.discard(offset, sectors)),
        };
        let result = result.map_err(|error| match error.kind() {
            io::ErrorKind::Unsupported => DeviceError::Unsupported,
            _ => {
                log::warn!("disk: {error}");
                DeviceError::Io
            }
        });
        Completion { id: request.id, buffer, result }
    }
}

impl BlockDevice for Disk {
    fn info(&self) -> BlockInfo {
        self.info
    }

    fn submit(&mut self, request: BlockRequest) -> Result<(), BlockRequest> {
        if self.completions.len() >= MAX_REQUESTS {
            return Err(request);
        }
        let completion = self.carry_out(request);
        self.completions.push_back(completion);
        Ok(())
    }

    fn flush_queue(&mut self) {
        if !self.completions.is_empty() {
            self.done.raise();
        }
    }

    fn complete(&mut self) -> Option<Completion> {
        self.completions.pop_front()
    }

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), DeviceError>> {
        if !self.completions.is_empty() {
            return Poll::Ready(Ok(()));
        }
        self.done.poll(cx).map(Ok)
    }
}

#[cfg(test)]
mod tests {
    use std::{env, fs, process};

    use mayfly_device::BlockBuffer;

    use super::*;

    /// A file of 8 sectors and a bit, removed at the end.
    struct TestFile(String);

    impl TestFile {
        fn new(name: &str) -> Self {
            let name = format!("{}/mayfly-{}-{name}", env::temp_dir().display(), process::id());
            fs::write(&name, vec![1; 8 * 512 + 100]).expect("written");
            Self(name)
        }
    }

    impl Drop for TestFile {
        fn drop(&mut self) {
            let _ = fs::remove_file(&self.0);
        }
    }

    fn run(disk: &mut Disk, sector: u64, operation: BlockOperation) -> Completion {
        disk.submit(BlockRequest { id: 7, sector, operation }).expect("room");
        disk.flush_queue();
        let completion = disk.complete().expect("done");
        assert_eq!(completion.id, 7);
        completion
    }

    #[test]
    fn what_is_written_is_read_again() {
        let file = TestFile::new("rw");
        let mut disk = Disk::open(&file.0, false).expect("opened");
        assert_eq!(disk.info().sectors, 8);
        let mut buffer = BlockBuffer::zeroed(1024).expect("memory");
        buffer.fill(9);
        assert_eq!(run(&mut disk, 3, BlockOperation::Write(buffer)).result, Ok(()));
        assert_eq!(run(&mut disk, 0, BlockOperation::Flush).result, Ok(()));
        let buffer = BlockBuffer::zeroed(512 * 3).expect("memory");
        let read = run(&mut disk, 2, BlockOperation::Read(buffer));
        let bytes = read.buffer.expect("comes back");
        assert!(bytes[..512].iter().all(|byte| *byte == 1));
        assert!(bytes[512..].iter().all(|byte| *byte == 9));
        // A file system that cannot punch holes says so.
        let discarded = run(&mut disk, 3, BlockOperation::Discard(1)).result;
        if discarded != Err(DeviceError::Unsupported) {
            assert_eq!(discarded, Ok(()));
            let buffer = BlockBuffer::zeroed(512).expect("memory");
            let read = run(&mut disk, 3, BlockOperation::Read(buffer)).buffer.expect("comes back");
            assert!(read.iter().all(|byte| *byte == 0));
        }
    }

    #[test]
    fn errors_are_reported_and_the_buffer_comes_back() {
        let file = TestFile::new("ro");
        let mut disk = Disk::open(&file.0, true).expect("opened");
        let buffer = BlockBuffer::zeroed(512).expect("memory");
        let written = run(&mut disk, 0, BlockOperation::Write(buffer));
        assert_eq!(written.result, Err(DeviceError::Io));
        let beyond = run(&mut disk, u64::MAX, BlockOperation::Read(written.buffer.expect("back")));
        assert_eq!(beyond.result, Err(DeviceError::Io));
        assert!(matches!(Disk::open("/nowhere/x", false), Err(OpenError::Disk { .. })));
    }
}
