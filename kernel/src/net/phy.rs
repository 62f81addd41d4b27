//! The device as smoltcp sees it: one received frame at a time, and a place for what it sends.
//!
//! smoltcp asks a `phy::Device` for the next frame itself. Here the stack has looked at the frame
//! before and knows whose it is, so it hands over exactly that one.
//!
//! smoltcp is generic over the device, and compiled once for each type of it. There is one type.

use core::num::NonZeroU16;

use smoltcp::{
    phy::{Device, DeviceCapabilities, PacketMeta, RxToken, TxToken},
    time::Instant,
};

use super::{outgoing::Outgoing, port::Port, tcp::Revision};

/// Longest frame that is caught: Ethernet, IPv6 and TCP with all options.
pub(super) const MAX_CAUGHT: usize = 14 + 40 + 60;

/// A frame that does not go to a device.
#[derive(Clone, Copy)]
pub(super) struct Caught {
    pub(super) bytes: [u8; MAX_CAUGHT],
    pub(super) length: usize,
}

impl Caught {
    /// The frame that `bytes` are, or as much of it as fits.
    pub(super) fn new(bytes: &[u8]) -> Self {
        let length = bytes.len().min(MAX_CAUGHT);
        let mut caught = Self { bytes: [0; MAX_CAUGHT], length };
        for (to, from) in caught.bytes.iter_mut().zip(bytes) {
            *to = *from;
        }
        caught
    }

    /// A frame of `length` bytes, at most [`MAX_CAUGHT`], yet to be written.
    pub(super) fn empty(length: usize) -> Self {
        Self { bytes: [0; MAX_CAUGHT], length: length.min(MAX_CAUGHT) }
    }

    /// Where the frame is written.
    pub(super) fn bytes_mut(&mut self) -> &mut [u8] {
        self.bytes.get_mut(..self.length).unwrap_or_default()
    }

    /// The frame.
    pub(super) fn bytes(&self) -> &[u8] {
        self.bytes.get(..self.length).unwrap_or_default()
    }
}

/// Where frames go.
enum Sink<'a> {
    Port {
        port: &'a mut Port,
        /// Most bytes of payload in a packet that may have to be cut into segments.
        payload: usize,
        /// What is changed in TCP segments.
        revision: Option<&'a mut Revision>,
    },
    Net {
        capabilities: &'a DeviceCapabilities,
        caught: &'a mut Option<Caught>,
    },
}

/// One call of smoltcp: the frame that it is to receive, if any, and where its own go.
pub(super) struct Phy<'a> {
    sink: Sink<'a>,
    frame: Option<&'a [u8]>,
}

impl<'a> Phy<'a> {
    /// smoltcp is to receive `frame`.
    pub(super) fn input(port: &'a mut Port, frame: &'a [u8]) -> Self {
        Self { sink: Sink::Port { port, payload: 0, revision: None }, frame: Some(frame) }
    }

    /// smoltcp may send packets of up to `payload` bytes of TCP payload, or with 0, frames only.
    pub(super) fn output(port: &'a mut Port, payload: usize) -> Self {
        Self { sink: Sink::Port { port, payload, revision: None }, frame: None }
    }

    /// smoltcp is to receive `frame`, or may send, but nothing reaches a device: the last frame
    /// that it sends is caught.
    pub(super) fn catch(
        capabilities: &'a DeviceCapabilities,
        caught: &'a mut Option<Caught>,
        frame: Option<&'a [u8]>,
    ) -> Self {
        Self { sink: Sink::Net { capabilities, caught }, frame }
    }

    /// Whatever smoltcp sends is of a connection with this revision.
    pub(super) fn revising(mut self, of: &'a mut Revision) -> Self {
        if let Sink::Port { revision, .. } = &mut self.sink {
            *revision = Some(of);
        }
        self
    }

    fn token(&mut self) -> Token<'_> {
        let sink = match &mut self.sink {
            Sink::Port { port, payload, revision } => {
                Sink::Port { port, payload: *payload, revision: revision.as_deref_mut() }
            }
            Sink::Net { capabilities, caught } => Sink::Net { capabilities, caught },
        };
        Token { sink, segment_size: None }
    }
}

impl Device for Phy<'_> {
    type RxToken<'t>
        = Receive<'t>
    where
        Self: 't;
    type TxToken<'t>
        = Token<'t>
    where
        Self: 't;

    fn receive(&mut self, _now: Instant) -> Option<(Receive<'_>, Token<'_>)> {
        let frame = self.frame.take()?;
        // An answer that finds no room is dropped, but there must be a buffer to build it in.
        let is_ready = match &mut self.sink {
            Sink::Port { port, .. } => port.reserve(0),
            Sink::Net { .. } => true,
        };
        is_ready.then(|| (Receive(frame), self.token()))
    }

    fn transmit(&mut self, _now: Instant) -> Option<Token<'_>> {
        let is_ready = match &mut self.sink {
            Sink::Port { port, payload, .. } => port.has_room() && port.reserve(*payload),
            Sink::Net { .. } => true,
        };
        is_ready.then(|| self.token())
    }

    fn capabilities(&self) -> DeviceCapabilities {
        match &self.sink {
            Sink::Port { port, .. } => port.capabilities.clone(),
            Sink::Net { capabilities, .. } => (*capabilities).clone(),
        }
    }
}

/// The frame that smoltcp is to look at.
pub(super) struct Receive<'a>(&'a [u8]);

impl RxToken for Receive<'_> {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, look: F) -> R {
        look(self.0)
    }
}

/// Permission to send one frame.
pub(super) struct Token<'a> {
    sink: Sink<'a>,
    /// If the frame is longer than the MTU: payload of the segments that are to be made of it.
    segment_size: Option<NonZeroU16>,
}

impl TxToken for Token<'_> {
    fn set_meta(&mut self, meta: PacketMeta) {
        self.segment_size = meta.segmentation_offload_size;
    }

    /// Calls `fill` in one place only: all of smoltcp's writing of packets is in it.
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(mut self, length: usize, fill: F) -> R {
        let mut outgoing = match &mut self.sink {
            Sink::Port { port, .. } => port.begin(length, self.segment_size),
            Sink::Net { .. } if length <= MAX_CAUGHT => Outgoing::Caught(Caught::empty(length)),
            Sink::Net { .. } => Outgoing::Lost(alloc::vec![0; length]),
        };
        let result = fill(outgoing.bytes());
        match self.sink {
            Sink::Port { port, revision, .. } => {
                if let Some(revision) = revision {
                    revision.apply(outgoing.bytes());
                }
                port.finish(outgoing);
            }
            Sink::Net { caught, .. } => {
                *caught = Some(match outgoing {
                    Outgoing::Caught(frame) => frame,
                    mut other => Caught::new(other.bytes()),
                });
            }
        }
        result
    }
}
