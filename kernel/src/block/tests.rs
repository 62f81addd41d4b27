//! Disks on a device played by the test.

use alloc::{boxed::Box, rc::Rc, vec, vec::Vec};
use core::{
    cell::RefCell,
    task::{Context, Poll, Waker},
    time::Duration,
};

use mayfly_device::{
    BlockDevice, BlockInfo, BlockOperation, BlockRequest, Completion, DeviceError,
};

use super::*;
use crate::{executor, time};

/// A device of 64 sectors that answers when the test says so, last request first.
struct Fake {
    sectors: Vec<[u8; 512]>,
    info: BlockInfo,
    room: usize,
    queued: Vec<BlockRequest>,
    tells: usize,
    most_queued: usize,
    flushes: usize,
    answers: Vec<Completion>,
    waker: Option<Waker>,
    gone: bool,
    /// Answers at once whatever it is told of.
    automatic: bool,
}

#[derive(Clone)]
struct Handle(Rc<RefCell<Fake>>);

impl Handle {
    fn new() -> Self {
        let info = BlockInfo {
            sector_size: 512,
            sectors: 64,
            read_only: false,
            removable: false,
            max_sectors: 4,
            can_flush: true,
            can_discard: true,
        };
        Self(Rc::new(RefCell::new(Fake {
            sectors: (0..64).map(|number| [number; 512]).collect(),
            info,
            room: 8,
            queued: Vec::new(),
            tells: 0,
            most_queued: 0,
            flushes: 0,
            answers: Vec::new(),
            waker: None,
            gone: false,
            automatic: true,
        })))
    }

    fn answer_all(&self) {
        let mut fake = self.0.borrow_mut();
        while let Some(request) = fake.queued.pop() {
            let completion = fake.perform(request);
            fake.answers.push(completion);
        }
        fake.wake();
    }
}

impl Fake {
    fn wake(&mut self) {
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }

    fn perform(&mut self, request: BlockRequest) -> Completion {
        let BlockRequest { id, sector, operation } = request;
        let first = sector as usize;
        let buffer = match operation {
            BlockOperation::Read(mut buffer) => {
                for (index, piece) in buffer.chunks_mut(512).enumerate() {
                    piece.copy_from_slice(&self.sectors[first + index]);
                }
                Some(buffer)
            }
            BlockOperation::Write(buffer) => {
                for (index, piece) in buffer.chunks(512).enumerate() {
                    self.sectors[first + index].copy_from_slice(piece);
                }
                Some(buffer)
            }
            BlockOperation::Identify(mut buffer) => {
                buffer[..8].copy_from_slice(b"mayfly-1");
                Some(buffer)
            }
            BlockOperation::Flush => {
                self.flushes += 1;
                None
            }
            BlockOperation::Discard(sectors) => {
                self.sectors[first..first + sectors as usize].fill([0; 512]);
                None
            }
        };
        Completion { id, buffer, result: Ok(()) }
    }
}

impl BlockDevice for Handle {
    fn info(&self) -> BlockInfo {
        self.0.borrow().info
    }

    fn submit(&mut self, request: BlockRequest) -> Result<(), BlockRequest> {
        let mut fake = self.0.borrow_mut();
        if fake.queued.len() >= fake.room {
            return Err(request);
        }
        fake.queued.push(request);
        fake.most_queued = fake.most_queued.max(fake.queued.len());
        Ok(())
    }

    fn flush_queue(&mut self) {
        self.0.borrow_mut().tells += 1;
        if self.0.borrow().automatic {
            self.answer_all();
        }
    }

    fn complete(&mut self) -> Option<Completion> {
        self.0.borrow_mut().answers.pop()
    }

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), DeviceError>> {
        let mut fake = self.0.borrow_mut();
        if fake.gone {
            return Poll::Ready(Err(DeviceError::Gone));
        }
        if !fake.answers.is_empty() {
            return Poll::Ready(Ok(()));
        }
        fake.waker = Some(cx.waker().clone());
        Poll::Pending
    }
}

/// Runs `test` with a disk on a fake device.
fn with_disk<F: Future<Output = ()>>(test: impl FnOnce(Disk, Handle) -> F) {
    mayfly_arch::simulation::start();
    let device = Handle::new();
    executor::run(async {
        test(Disk::start(Box::new(device.clone())), device).await;
    });
}

#[test]
fn what_is_written_is_read() {
    with_disk(|disk, device| async move {
        assert_eq!((disk.size(), disk.sector_size()), (64 * 512, 512));
        assert_eq!(disk.serial().await.unwrap(), "mayfly-1");
        let mut data = vec![0; 20 * 512];
        disk.read(10 * 512, &mut data).await.unwrap();
        for (index, sector) in data.chunks(512).enumerate() {
            assert_eq!(sector, [10 + index as u8; 512]);
        }
        let text: Vec<u8> = (0..20 * 512).map(|index| (index / 7) as u8).collect();
        disk.write(512, &text).await.unwrap();
        disk.flush().await.unwrap();
        disk.read(512, &mut data).await.unwrap();
        assert_eq!(data, text);
        assert_eq!(device.0.borrow().flushes, 1);
        // Pieces of one transfer are under way together.
        assert_eq!(device.0.borrow().most_queued, 4);
        disk.discard(512, 512).await.unwrap();
        disk.read(0, &mut data[..1024]).await.unwrap();
        assert_eq!(data[..1024], [0; 1024]);
    });
}

#[test]
fn ranges_are_checked() {
    with_disk(|disk, device| async move {
        let mut data = [0; 1024];
        let misaligned = Err(Error::Misaligned { sector_size: 512 });
        let beyond = Err(Error::OutOfRange { size: 64 * 512 });
        assert_eq!(disk.read(1, &mut data).await, misaligned);
        assert_eq!(disk.write(0, &data[..1000]).await, misaligned);
        assert_eq!(disk.read(63 * 512, &mut data).await, beyond);
        assert_eq!(disk.write(u64::MAX - 511, &data).await, beyond);
        assert_eq!(disk.discard(0, 65 * 512).await, beyond);
        assert_eq!(disk.read(64 * 512, &mut []).await, Ok(()));
        assert_eq!(device.0.borrow().tells, 0);
    });
}

#[test]
fn a_read_only_disk_is_not_written() {
    mayfly_arch::simulation::start();
    let device = Handle::new();
    device.0.borrow_mut().info.read_only = true;
    executor::run(async {
        let disk = Disk::start(Box::new(device));
        assert_eq!(disk.write(0, &[0; 512]).await, Err(Error::ReadOnly));
        assert_eq!(disk.discard(0, 512).await, Err(Error::ReadOnly));
        assert!(!disk.can_discard());
    });
}

#[test]
fn many_tasks_share_a_queue_that_is_too_short() {
    with_disk(|disk, device| async move {
        device.0.borrow_mut().room = 2;
        let tasks: Vec<_> = (0..50u8)
            .map(|number| {
                let disk = disk.clone();
                executor::spawn(async move {
                    let mut data = [0; 512];
                    disk.read(u64::from(number) * 512, &mut data).await.unwrap();
                    assert_eq!(data, [number; 512]);
                })
            })
            .collect();
        for task in tasks {
            task.await.unwrap();
        }
    });
}

#[test]
fn a_burst_costs_one_notification() {
    with_disk(|disk, device| async move {
        let tasks: Vec<_> = (0..8)
            .map(|_| {
                let disk = disk.clone();
                executor::spawn(async move { disk.read(0, &mut [0; 512]).await })
            })
            .collect();
        for task in tasks {
            assert_eq!(task.await, Ok(Ok(())));
        }
        assert_eq!(device.0.borrow().tells, 1);
    });
}

#[test]
fn dropped_operations_do_no_harm() {
    with_disk(|disk, device| async move {
        device.0.borrow_mut().automatic = false;
        device.0.borrow_mut().room = 2;
        for _ in 0..10 {
            let mut data = vec![0; 16 * 512];
            let read = time::timeout(Duration::from_millis(1), disk.read(0, &mut data));
            assert!(read.await.is_err());
        }
        assert_eq!(device.0.borrow().queued.len(), 2);
        device.0.borrow_mut().automatic = true;
        device.answer_all();
        let mut data = [0; 512];
        disk.read(5 * 512, &mut data).await.unwrap();
        assert_eq!(data, [5; 512]);
    });
}

#[test]
fn a_device_that_goes_fails_everything() {
    with_disk(|disk, device| async move {
        device.0.borrow_mut().automatic = false;
        let waiting = {
            let disk = disk.clone();
            executor::spawn(async move { disk.read(0, &mut [0; 512]).await })
        };
        time::sleep(Duration::from_millis(1)).await;
        device.0.borrow_mut().gone = true;
        device.0.borrow_mut().wake();
        let gone = Err(Error::Device(DeviceError::Gone));
        assert_eq!(waiting.await, Ok(gone));
        assert_eq!(disk.write(0, &[0; 512]).await, gone);
    });
}
