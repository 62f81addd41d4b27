//! A simulated Ethernet link between two devices, with faults from a seeded generator. Time is the
//! simulation's, so a run takes milliseconds and is the same every time.

use std::{
    cell::RefCell,
    collections::VecDeque,
    num::NonZeroU16,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, Waker},
    time::Duration,
};

use crate::hostile::{complement, repair, sum};
use mayfly::time::{Instant, Sleep, sleep_until};
use mayfly_device::{
    Checksums, DeviceError, FrameBuf, FramePool, LinkChange, NetDevice, NetInfo, PagePool,
    PartialChecksum, Received, Segmentation,
};

/// Size of the buffers for long packets.
const LARGE: usize = 65_536;

/// What goes wrong on the link. Probabilities are per thousand frames.
#[derive(Clone, Copy, Debug)]
pub struct Faults {
    pub loss: u32,
    pub duplicate: u32,
    pub corrupt: u32,
    pub reorder: u32,
    /// Time that every frame takes.
    pub delay: Duration,
    /// Time that a reordered frame takes in addition, at most.
    pub jitter: Duration,
    /// Frames that may be under way in one direction before the device says that it is full.
    pub ring: usize,
    /// Whether the devices fill in checksums and cut long TCP packets into segments, with that
    /// many buffers for those.
    pub offload: Option<usize>,
    /// Frame buffers that each device has, if they are few. Those of frames that have left are then
    /// freed when the device is asked for room, and no earlier, as with a ring.
    pub few_buffers: Option<usize>,
}

impl Default for Faults {
    fn default() -> Self {
        Self {
            loss: 0,
            duplicate: 0,
            corrupt: 0,
            reorder: 0,
            delay: Duration::from_micros(50),
            jitter: Duration::from_millis(2),
            ring: 256,
            offload: None,
            few_buffers: None,
        }
    }
}

/// A generator of the SplitMix64 family.
pub struct Dice(pub u64);

impl Dice {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    fn per_mille(&mut self, chance: u32) -> bool {
        chance > 0 && self.below(1000) < u64::from(chance)
    }
}

#[derive(Default)]
struct Direction {
    frames: VecDeque<(Instant, Vec<u8>)>,
    receiver: Option<Waker>,
    sender: Option<Waker>,
    sent: u64,
    /// Long packets that the device had to cut.
    cut: u64,
}

type Tap = dyn FnMut(usize, &[u8]) -> bool;

struct Wire {
    /// Frames to end 0 and to end 1.
    to: [Direction; 2],
    faults: Faults,
    dice: Dice,
    /// Sees every frame before faults: from which end, and its bytes. Says whether it goes on.
    tap: Option<Box<Tap>>,
    gone: bool,
    /// What has become of the links of the devices that were not asked.
    changes: [Option<LinkChange>; 2],
    /// Whether the devices have a link.
    up: [bool; 2],
}

/// A handle to the link, to change its faults while it runs.
#[derive(Clone)]
pub struct Link(Rc<RefCell<Wire>>);

impl Link {
    /// A link and its two devices, with the MAC addresses 02:00:00:00:00:01 and …:02.
    pub fn new(faults: Faults, seed: u64) -> (Self, LinkDevice, LinkDevice) {
        let (to, dice) = (Default::default(), Dice(seed));
        let wire =
            Wire { to, faults, dice, tap: None, gone: false, changes: [None; 2], up: [true; 2] };
        let link = Self(Rc::new(RefCell::new(wire)));
        (link.clone(), link.device(0), link.device(1))
    }

    fn device(&self, end: usize) -> LinkDevice {
        LinkDevice {
            link: self.clone(),
            end,
            pool: Rc::new(PagePool::new(2048, self.0.borrow().faults.few_buffers.unwrap_or(1024))),
            large: Rc::new(PagePool::new(LARGE, self.0.borrow().faults.offload.unwrap_or(0))),
            left: Vec::new(),
            sleep: None,
        }
    }

    /// Connects the device of an end anew.
    pub fn move_end(&self, end: usize) {
        self.change(end, LinkChange::Up);
    }

    /// Takes the link of an end away, or gives it back.
    pub fn change(&self, end: usize, change: LinkChange) {
        let wire = &mut *self.0.borrow_mut();
        wire.changes[end] = Some(change);
        wire.up[end] = change == LinkChange::Up;
        wire.to[end].receiver.take().into_iter().for_each(Waker::wake);
    }

    pub fn set_faults(&self, faults: Faults) {
        self.0.borrow_mut().faults = faults;
    }

    pub fn tap(&self, tap: impl FnMut(usize, &[u8]) -> bool + 'static) {
        self.0.borrow_mut().tap = Some(Box::new(tap));
    }

    /// Puts a frame on the way to end `end`, without faults.
    pub fn inject(&self, end: usize, frame: &[u8]) {
        let wire = &mut *self.0.borrow_mut();
        let direction = &mut wire.to[end];
        direction.frames.push_back((Instant::now(), frame.to_vec()));
        if let Some(waker) = direction.receiver.take() {
            waker.wake();
        }
    }

    /// Frames that end `end` has sent.
    pub fn sent_by(&self, end: usize) -> u64 {
        self.0.borrow().to[1 - end].sent
    }

    /// Long packets that end `end` has had cut by its device.
    pub fn cut_by(&self, end: usize) -> u64 {
        self.0.borrow().to[1 - end].cut
    }

    /// Takes the devices away.
    pub fn cut(&self) {
        let wire = &mut *self.0.borrow_mut();
        wire.gone = true;
        for direction in &mut wire.to {
            for waker in [direction.receiver.take(), direction.sender.take()].into_iter().flatten()
            {
                waker.wake();
            }
        }
    }
}

pub struct LinkDevice {
    link: Link,
    end: usize,
    pool: Rc<dyn FramePool>,
    large: Rc<dyn FramePool>,
    /// Frames that have left and were not freed.
    left: Vec<FrameBuf>,
    sleep: Option<Sleep>,
}

impl LinkDevice {
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

/// One line about a frame, for `MAYFLY_TRACE=1 cargo test … -- --nocapture`.
fn describe(end: usize, frame: &[u8]) -> String {
    let time = Instant::now().as_nanos() / 1000 % 100_000_000_000;
    let head = format!("{time:>11} us, from {end}:");
    let tcp = match (frame[12], frame[13]) {
        (8, 0) if frame[23] == 6 => &frame[34..],
        (0x86, 0xdd) if frame[20] == 6 => &frame[54..],
        _ => return format!("{head} {:02x?}", &frame[12..frame.len().min(42)]),
    };
    let number = |at: usize| u32::from_be_bytes([tcp[at], tcp[at + 1], tcp[at + 2], tcp[at + 3]]);
    let short = |at: usize| u16::from_be_bytes([tcp[at], tcp[at + 1]]);
    let flags = "FSRPA".char_indices().filter(|(bit, _)| tcp[13] >> bit & 1 != 0);
    let flags: String = flags.map(|(_, flag)| flag).collect();
    let (from, to, window) = (short(0), short(2), short(14));
    let payload = tcp.len() - usize::from(tcp[12] >> 4) * 4;
    let (sequence, next) = (number(4), number(8));
    format!("{head} {from}>{to} {flags} {sequence}+{payload} ack {next} window {window}")
}
