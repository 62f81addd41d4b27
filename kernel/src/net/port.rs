//! The network device, and the buffers that sending on it takes.

use alloc::{boxed::Box, rc::Rc};
use core::{
    num::{NonZeroU16, NonZeroUsize},
    ops::RangeInclusive,
    task::{Context, Poll},
};

use mayfly_device::{DeviceError, FrameBuf, FramePool, LinkChange, NetDevice, NetInfo, Received};
use smoltcp::{
    phy::{Checksum, DeviceCapabilities, Medium},
    wire::ETHERNET_HEADER_LEN,
};

use super::{checksum, cutting::Cutting, merge::Merge, outgoing::Outgoing, stats::Stats};
use crate::memory;

/// Longest frame that is given to a device to be cut: an IPv4 packet of 65,535 bytes.
const MAX_FRAME: usize = ETHERNET_HEADER_LEN + 65_535;
/// Shortest IP and TCP headers, and longest ones with Ethernet's.
const MIN_HEADERS: usize = 40;
const MAX_HEADERS: usize = 14 + 40 + 60;
/// A device that cuts nothing longer than that, which two frames hold, need not cut at all.
const LONG: usize = 4096;

/// The network device and what sending on it needs.
pub(super) struct Port {
    device: Box<dyn NetDevice>,
    pool: Rc<dyn FramePool>,
    /// For TCP packets that the device cuts into segments, if it does.
    large_pool: Option<Rc<dyn FramePool>>,
    pub(super) info: NetInfo,
    pub(super) capabilities: DeviceCapabilities,
    /// A buffer taken before smoltcp is asked for a frame, because it cannot be told afterwards
    /// that there is none.
    spare: Option<FrameBuf>,
    /// The same for a packet that is to be cut into segments.
    large: Option<Large>,
    /// How long the TCP packets over IPv6 are that the device cuts, if it does; and one that is not
    /// complete.
    merged: Option<RangeInclusive<usize>>,
    merge: Option<Merge>,
    /// A packet that is cut here, of which segments wait for room. As long as there is one, there is
    /// none for anything else.
    cutting: Option<Cutting>,
    /// There was room when buffers were looked for.
    has_found_room: bool,
    /// Frames that the device is known to take.
    room: usize,
    unflushed: bool,
    last_segment: usize,
    pub(super) stats: Stats,
}

/// Where a packet is built that is to be cut into segments.
enum Large {
    /// A buffer of the device, which cuts it.
    Frame(FrameBuf),
    /// Memory from which it is cut here.
    Scratch(Box<[u8]>),
}

impl Port {
    /// Takes the device over.
    pub(super) fn new(device: Box<dyn NetDevice>) -> Self {
        let info = device.info();
        let mut capabilities = DeviceCapabilities::default();
        capabilities.medium = Medium::Ethernet;
        capabilities.max_transmission_unit = info.mtu.saturating_add(ETHERNET_HEADER_LEN);
        // The port does these itself, or the device does: see `checksum`.
        let done = Checksum::None;
        let checksums = &mut capabilities.checksum;
        (checksums.ipv4, checksums.tcp, checksums.udp) = (done, done, done);
        let large_pool = device.large_pool().filter(|_| info.checksums.on_transmit);
        let longest = device.segmentation().tcp_ipv4.min(MAX_FRAME);
        // Not for IPv6: there smoltcp 0.14 drops what is longer than the MTU, whoever cuts it. See
        // `merge`.
        let longest_merge = device.segmentation().tcp_ipv6.min(MAX_FRAME);
        let merges = large_pool.is_some() && longest_merge > LONG;
        let merged =
            merges.then_some(info.mtu.saturating_add(ETHERNET_HEADER_LEN + 1)..=longest_merge);
        if large_pool.is_some() && longest > LONG {
            capabilities.segmentation.tcpv4 = NonZeroUsize::new(longest);
        }
        Self {
            pool: device.pool(),
            large_pool,
            device,
            info,
            capabilities,
            spare: None,
            large: None,
            merged,
            merge: None,
            cutting: None,
            has_found_room: false,
            room: 0,
            unflushed: false,
            last_segment: 0,
            stats: Stats::default(),
        }
    }

    /// Takes the next received frame.
    pub(super) fn receive(&mut self) -> Option<Received> {
        let received = self.device.receive()?;
        self.stats.received_frames += 1;
        Some(received)
    }

    /// Whether a frame can be sent now.
    pub(super) fn has_room(&mut self) -> bool {
        if self.room == 0 && self.cutting.is_none() {
            self.ask_for_room();
        }
        self.room > 0
    }

    /// Asks the device how much it takes. If that is nothing, it tells when that has changed.
    fn ask_for_room(&mut self) {
        // It takes room that the device is to be asked for, should there be none.
        self.end_merge();
        self.room = self.device.transmit_room();
    }

    /// Has the device free the buffers of frames that have left. Whoever waits for room is not told by
    /// the device any more if it has some then, but by [`has_found_room`](Self::has_found_room).
    fn reclaim(&mut self) {
        let room = self.device.transmit_room();
        self.has_found_room |= room > 0;
        let is_free = self.cutting.is_none();
        self.room =
            if is_free { room.saturating_sub(usize::from(self.merge.is_some())) } else { 0 };
    }

    /// Whether there was room when buffers were looked for, since this was last asked.
    pub(super) fn has_found_room(&mut self) -> bool {
        core::mem::take(&mut self.has_found_room)
    }

    /// An empty buffer for a frame of `length` bytes, if there is memory for one.
    pub(super) fn allocate(&mut self, length: usize) -> Option<FrameBuf> {
        let headroom = self.info.headroom;
        let mut frame = match self.spare.take() {
            Some(spare) => spare,
            None => self.take_buffer()?,
        };
        let fits = headroom.checked_add(length).is_some_and(|end| frame.set_range(headroom, end));
        if fits { Some(frame) } else { None }
    }

    /// A buffer for a frame. If there is none, those of frames that have left are freed first, which
    /// otherwise happens only when the device's queue is full.
    fn take_buffer(&mut self) -> Option<FrameBuf> {
        let headroom = self.info.headroom;
        FrameBuf::allocate(&self.pool, headroom).or_else(|| {
            self.reclaim();
            FrameBuf::allocate(&self.pool, headroom)
        })
    }

    /// As `take_buffer`, for a packet that the device cuts into segments.
    fn take_large_buffer(&mut self) -> Option<FrameBuf> {
        let headroom = self.info.headroom;
        if let Some(frame) = FrameBuf::allocate(self.large_pool.as_ref()?, headroom) {
            return Some(frame);
        }
        self.reclaim();
        FrameBuf::allocate(self.large_pool.as_ref()?, headroom)
    }

    /// Queues a frame. One that the device does not take is dropped and counted.
    pub(super) fn send(&mut self, frame: FrameBuf) {
        let result = self.device.transmit(frame);
        self.sent(result);
    }

    fn sent(&mut self, result: Result<(), DeviceError>) {
        match result {
            Ok(()) => {
                self.room = self.room.saturating_sub(1);
                self.unflushed = true;
                self.stats.sent_frames += 1;
            }
            Err(_) => {
                self.room = 0;
                self.stats.unsent_frames += 1;
            }
        }
    }

    /// Tells the device of what was queued, if anything was.
    pub(super) fn flush(&mut self) {
        if self.merge.is_some() {
            self.end_merge();
        }
        if self.unflushed {
            self.unflushed = false;
            self.device.flush();
        }
    }

    /// See [`NetDevice::set_groups`].
    pub(super) fn set_groups(&mut self, groups: &[[u8; 6]]) {
        self.device.set_groups(groups);
    }

    /// See [`NetDevice::link_change`]. Without a link, there is no room any more.
    pub(super) fn link_change(&mut self) -> Option<LinkChange> {
        let change = self.device.link_change()?;
        self.room = 0;
        self.cutting = None;
        Some(change)
    }

    /// Forgets what waits for room in a device that is gone.
    pub(super) fn die(&mut self) {
        self.cutting = None;
    }

    /// See [`NetDevice::poll_ready`].
    pub(super) fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), DeviceError>> {
        self.device.poll_ready(cx)
    }

    /// Makes sure that there is a buffer for a TCP packet of up to `length` bytes, payload and all:
    /// one of the device, or else one in which it is built to be cut here. Out of line, so that
    /// `reserve` is short when nothing is missing.
    #[inline(never)]
    fn reserve_large(&mut self, length: usize) -> bool {
        let fits = |large: &Large| match large {
            Large::Frame(frame) => frame.tailroom() >= length,
            Large::Scratch(bytes) => bytes.len() >= length,
        };
        if !self.large.as_ref().is_some_and(fits) {
            self.large = self.take_large_buffer().map(Large::Frame).filter(fits).or_else(|| {
                memory::try_zeroed(length, "a long TCP packet").ok().map(Large::Scratch)
            });
        }
        if self.large.is_none() {
            self.stats.out_of_memory += 1;
        }
        self.large.is_some()
    }

    /// A place to build a packet of `length` bytes in, as it was reserved. With `segment_size`, it
    /// is to be cut into segments with so many bytes of payload.
    pub(super) fn begin(&mut self, length: usize, segment_size: Option<NonZeroU16>) -> Outgoing {
        let headroom = self.info.headroom;
        let outgoing = match segment_size {
            None => self.allocate(length).map(Outgoing::Frame),
            Some(size) => match self.large.take() {
                Some(Large::Frame(mut frame)) => {
                    let fits = frame.set_range(headroom, headroom.saturating_add(length));
                    fits.then_some(Outgoing::ToCut(frame, size))
                }
                Some(Large::Scratch(bytes)) => {
                    (bytes.len() >= length).then_some(Outgoing::Scratch(bytes, length, size))
                }
                None => None,
            },
        };
        // Longer than what was reserved: smoltcp keeps to the MTU and to the socket's buffer, so
        // this is a pool that was made too small. The packet is built and dropped.
        outgoing.unwrap_or_else(|| Outgoing::Lost(alloc::vec![0; length]))
    }

    /// Bytes of the TCP or UDP segment, header and payload, in the frame that was finished last;
    /// zero if there was none in it.
    pub(super) fn last_segment(&self) -> usize {
        self.last_segment
    }

    /// Sends what was built.
    pub(super) fn finish(&mut self, outgoing: Outgoing) {
        self.last_segment = 0;
        match outgoing {
            Outgoing::Frame(mut frame) => {
                let on_transmit = self.info.checksums.on_transmit;
                let segment = checksum::fill(frame.bytes_mut(), on_transmit);
                self.last_segment = segment.unwrap_or(0);
                if self.merges() && Merge::is_ipv6(frame.bytes()) {
                    self.merge(frame);
                } else {
                    self.send(frame);
                }
            }
            Outgoing::ToCut(mut frame, size) => {
                checksum::fill(frame.bytes_mut(), true);
                let result = self.device.transmit_segmented(frame, size);
                self.sent(result);
            }
            // Another one cannot be under way: there was room for this one.
            Outgoing::Scratch(bytes, length, size) => {
                self.cutting = Cutting::new(bytes, length, size);
                self.go_on_cutting();
            }
            Outgoing::Caught(_) | Outgoing::Lost(_) => self.stats.unsent_frames += 1,
        }
    }

    /// Whether segments of TCP over IPv6 are put together.
    pub(super) fn merges(&self) -> bool {
        self.merged.is_some()
    }

    /// Sends a frame, or has it wait for those that continue it.
    fn merge(&mut self, frame: FrameBuf) {
        if let Some(()) = self.add(&frame) {
            return;
        }
        self.end_merge();
        match Merge::begin(frame) {
            Ok(merge) => {
                self.merge = Some(merge);
                // It will take that.
                self.room = self.room.saturating_sub(1);
            }
            Err(frame) => self.send(frame),
        }
    }

    /// Adds a frame to the packet that is not complete, if it continues that.
    fn add(&mut self, frame: &FrameBuf) -> Option<()> {
        let merge = self.merge.as_ref()?;
        let payload = merge.continuation(frame.bytes(), self.merged.as_ref()?)?;
        let needs_more = merge.room() < payload.len();
        let buffer = if needs_more { Some(self.take_large_buffer()?) } else { None };
        let merge = self.merge.as_mut()?;
        if let Some(buffer) = buffer {
            merge.move_to(buffer)?;
        }
        merge.add(frame.bytes(), payload)
    }

    /// Sends the packet that others may have been added to.
    fn end_merge(&mut self) {
        let Some(merge) = self.merge.take() else { return };
        let (mut frame, size) = merge.end();
        self.room += 1;
        match size {
            None => self.send(frame),
            Some(size) => {
                checksum::fill(frame.bytes_mut(), true);
                let result = self.device.transmit_segmented(frame, size);
                self.sent(result);
            }
        }
    }

    /// Sends segments of the packet that is cut here, as long as there is room. Those for which there
    /// is no memory are lost, and sent again by TCP.
    pub(super) fn go_on_cutting(&mut self) {
        let Some(mut cutting) = self.cutting.take() else { return };
        while let Some(length) = cutting.next_length() {
            if self.room == 0 {
                self.ask_for_room();
            }
            if self.room == 0 {
                self.cutting = Some(cutting);
                return;
            }
            let Some(mut frame) = self.allocate(length) else {
                self.stats.out_of_memory += 1;
                return;
            };
            if cutting.write_next(frame.bytes_mut()).is_some() {
                checksum::fill(frame.bytes_mut(), self.info.checksums.on_transmit);
                self.send(frame);
            }
        }
    }

    /// Makes sure that there are buffers for a frame, and for a packet with up to `payload` bytes
    /// of TCP payload if the device cuts those.
    pub(super) fn reserve(&mut self, payload: usize) -> bool {
        if self.spare.is_none() {
            self.spare = self.take_buffer();
        }
        if self.spare.is_none() {
            self.stats.out_of_memory += 1;
            return false;
        }
        let Some(longest) = self.capabilities.segmentation.tcpv4 else { return true };
        let needs_large = payload.saturating_add(MIN_HEADERS) > self.info.mtu;
        let length = payload.saturating_add(MAX_HEADERS).min(longest.get());
        !needs_large || self.reserve_large(length)
    }
}
