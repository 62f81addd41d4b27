//! The devices at the ends of the link.

use std::{
    num::NonZeroU16,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll},
};

use mayfly::time::{Instant, Sleep, sleep_until};
use mayfly_device::{
    Checksums, DeviceError, FrameBuf, FramePool, LinkChange, NetDevice, NetInfo, PagePool,
    PartialChecksum, Received, Segmentation,
};

use super::{Link, trace::describe};
use crate::hostile::{complement, repair, sum};

/// Size of the buffers for long packets.
const LARGE: usize = 65_536;

pub struct LinkDevice {
    link: Link,
    end: usize,
    pool: Rc<dyn FramePool>,
    /// How many buffers the first one has.
    buffers: usize,
    large: Rc<dyn FramePool>,
    /// Frames that have left and were not freed.
    left: Vec<FrameBuf>,
    sleep: Option<Sleep>,
}

impl LinkDevice {
    pub(super) fn new(link: &Link, end: usize) -> Self {
        let faults = link.0.borrow().faults;
        let buffers = faults.few_buffers.unwrap_or(1024);
        Self {
            link: link.clone(),
            end,
            pool: Rc::new(PagePool::new(2048, buffers)),
            buffers,
            large: Rc::new(PagePool::new(LARGE, faults.offload.unwrap_or(0))),
            left: Vec::new(),
            sleep: None,
        }
    }

    pub fn boxed(self) -> Box<dyn NetDevice> {
        Box::new(self)
    }
}

impl NetDevice for LinkDevice {
    fn info(&self) -> NetInfo {
        NetInfo {
            mac: [2, 0, 0, 0, 0, self.end as u8 + 1],
            mtu: 1500,
            headroom: 12,
            checksums: Checksums { on_transmit: self.offloads(), on_receive: false },
            spare_buffers: self.buffers / 4,
        }
    }

    fn segmentation(&self) -> Segmentation {
        let longest = if self.offloads() { LARGE - 12 } else { 0 };
        Segmentation { tcp_ipv4: longest, tcp_ipv6: longest }
    }

    fn large_pool(&self) -> Option<Rc<dyn FramePool>> {
        self.offloads().then(|| Rc::clone(&self.large))
    }

    fn transmit_segmented(
        &mut self,
        frame: FrameBuf,
        segment_size: NonZeroU16,
    ) -> Result<(), DeviceError> {
        let bytes = frame.bytes();
        assert!(bytes.len() > 1514 && bytes.len() <= LARGE - 12);
        let tcp = if bytes[12] == 8 { 34 } else { 54 };
        let payload = tcp + usize::from(bytes[tcp + 12] >> 4) * 4;
        self.link.0.borrow_mut().to[1 - self.end].cut += 1;
        for start in (payload..bytes.len()).step_by(usize::from(segment_size.get())) {
            let end = (start + usize::from(segment_size.get())).min(bytes.len());
            let mut segment = [&bytes[..payload], &bytes[start..end]].concat();
            let (at, before) = if bytes[12] == 8 { (16, 14) } else { (18, 54) };
            let length = ((segment.len() - before) as u16).to_be_bytes();
            segment[at..at + 2].copy_from_slice(&length);
            let number = u32::from_be_bytes(segment[tcp + 4..tcp + 8].try_into().unwrap());
            let number = number.wrapping_add((start - payload) as u32).to_be_bytes();
            segment[tcp + 4..tcp + 8].copy_from_slice(&number);
            if end < bytes.len() {
                segment[tcp + 13] &= !9;
            }
            repair(&mut segment);
            self.put(segment)?;
        }
        self.leave(frame);
        Ok(())
    }

    fn pool(&self) -> Rc<dyn FramePool> {
        Rc::clone(&self.pool)
    }

    fn receive(&mut self) -> Option<Received> {
        let wire = &mut *self.link.0.borrow_mut();
        let direction = &mut wire.to[self.end];
        let (due, _) = direction.frames.front()?;
        if *due > Instant::now() {
            return None;
        }
        let (_, bytes) = direction.frames.pop_front()?;
        // Without a buffer for it, the frame is lost.
        let mut frame = FrameBuf::allocate(&self.pool, 0)?;
        if let Some(waker) = direction.sender.take() {
            waker.wake();
        }
        assert!(frame.set_range(0, bytes.len().min(2048)));
        let length = frame.bytes().len();
        frame.bytes_mut().copy_from_slice(&bytes[..length]);
        Some(Received { frame, checked: false })
    }

    fn transmit_room(&mut self) -> usize {
        self.left.clear();
        self.room()
    }

    fn transmit(&mut self, frame: FrameBuf) -> Result<(), DeviceError> {
        assert_eq!(frame.headroom(), 12, "the stack forgot the headroom");
        assert!(frame.bytes().len() <= 1514, "the stack sent more than the MTU");
        let mut bytes = frame.bytes().to_vec();
        if self.offloads()
            && let Some(partial) = PartialChecksum::locate(&bytes)
        {
            // What a device does: it knows nothing of the pseudo header.
            let (start, offset) = (usize::from(partial.start), usize::from(partial.offset));
            let checksum = complement(sum(&bytes[start..], 0));
            bytes[start + offset..start + offset + 2].copy_from_slice(&checksum);
        }
        self.put(bytes)?;
        self.leave(frame);
        Ok(())
    }

    fn link_change(&mut self) -> Option<LinkChange> {
        self.link.0.borrow_mut().changes[self.end].take()
    }

    fn flush(&mut self) {
        let waker = self.link.0.borrow_mut().to[1 - self.end].receiver.take();
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), DeviceError>> {
        let due = {
            let wire = &mut *self.link.0.borrow_mut();
            if wire.gone {
                return Poll::Ready(Err(DeviceError::Gone));
            }
            wire.to[self.end].receiver = Some(cx.waker().clone());
            wire.to[1 - self.end].sender = Some(cx.waker().clone());
            if wire.changes[self.end].is_some() {
                return Poll::Ready(Ok(()));
            }
            wire.to[self.end].frames.front().map(|(due, _)| *due)
        };
        let Some(due) = due else {
            self.sleep = None;
            return Poll::Pending;
        };
        if due <= Instant::now() {
            return Poll::Ready(Ok(()));
        }
        let sleep = self.sleep.get_or_insert_with(|| sleep_until(due));
        sleep.reset(due);
        Pin::new(sleep).poll(cx).map(|()| {
            self.sleep = None;
            Ok(())
        })
    }
}

impl LinkDevice {
    fn offloads(&self) -> bool {
        self.link.0.borrow().faults.offload.is_some()
    }

    /// Puts a complete frame on the wire.
    fn leave(&mut self, frame: FrameBuf) {
        if self.link.0.borrow().faults.few_buffers.is_some() {
            self.left.push(frame);
        }
    }

    fn room(&self) -> usize {
        let wire = self.link.0.borrow();
        if !wire.up[self.end] {
            return 0;
        }
        wire.faults.ring.saturating_sub(wire.to[1 - self.end].frames.len())
    }

    fn put(&mut self, mut bytes: Vec<u8>) -> Result<(), DeviceError> {
        if self.room() == 0 {
            return Err(DeviceError::Io);
        }
        let wire = &mut *self.link.0.borrow_mut();
        let faults = wire.faults;
        let direction = &mut wire.to[1 - self.end];
        direction.sent += 1;
        if std::env::var_os("MAYFLY_TRACE").is_some() {
            println!("{}", describe(self.end, &bytes));
        }
        if wire.tap.as_mut().is_some_and(|tap| !tap(self.end, &bytes)) {
            return Ok(());
        }
        if wire.dice.per_mille(faults.loss) {
            return Ok(());
        }
        // A wrong answer to ARP would be believed for a minute: it has no checksum of its own.
        if wire.dice.per_mille(faults.corrupt) && bytes[12..14] != [8, 6] {
            let bit = wire.dice.below(bytes.len() as u64 * 8);
            bytes[bit as usize / 8] ^= 1 << (bit % 8);
        }
        let copies = 1 + usize::from(wire.dice.per_mille(faults.duplicate));
        for _ in 0..copies {
            let mut due = Instant::now() + faults.delay;
            if wire.dice.per_mille(faults.reorder) {
                due += faults.jitter.mul_f64(wire.dice.below(1000) as f64 / 1000.0);
            }
            let at = direction.frames.partition_point(|(other, _)| *other <= due);
            direction.frames.insert(at, (due, bytes.clone()));
        }
        Ok(())
    }
}
