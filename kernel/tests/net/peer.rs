//! Scripted peers: the other end of a link, played by plain smoltcp or by hand.

use std::{
    cell::RefCell,
    collections::VecDeque,
    future::poll_fn,
    rc::Rc,
    task::{Poll, Waker},
};

use mayfly_device::{FrameBuf, NetDevice};
use smoltcp::{
    phy::{Device, DeviceCapabilities, Medium, RxToken, TxToken},
    time::Instant,
};

use crate::link::LinkDevice;

/// A link's end without a network on it: frames in, frames out.
pub struct Raw(pub LinkDevice);

impl Raw {
    /// Waits for the next frame.
    pub async fn receive(&mut self) -> Vec<u8> {
        poll_fn(|cx| {
            loop {
                if let Some(received) = self.0.receive() {
                    return Poll::Ready(received.frame.bytes().to_vec());
                }
                if self.0.poll_ready(cx).is_pending() {
                    return Poll::Pending;
                }
            }
        })
        .await
    }

    pub fn send(&mut self, bytes: &[u8]) {
        let mut frame = FrameBuf::allocate(&self.0.pool(), 12).unwrap();
        assert!(frame.set_range(12, 12 + bytes.len()));
        frame.bytes_mut().copy_from_slice(bytes);
        self.0.transmit(frame).unwrap();
        self.0.flush();
    }
}

/// Frames for smoltcp on this end.
#[derive(Clone, Default)]
pub struct Queues {
    pub inbound: Rc<RefCell<VecDeque<Vec<u8>>>>,
    pub outbound: Rc<RefCell<VecDeque<Vec<u8>>>>,
    pub waker: Rc<RefCell<Option<Waker>>>,
}

impl Device for Queues {
    type RxToken<'a> = Token<'a>;
    type TxToken<'a> = Token<'a>;

    fn receive(&mut self, _: Instant) -> Option<(Token<'_>, Token<'_>)> {
        let frame = self.inbound.borrow_mut().pop_front()?;
        Some((Token(self, frame), Token(self, Vec::new())))
    }

    fn transmit(&mut self, _: Instant) -> Option<Token<'_>> {
        Some(Token(self, Vec::new()))
    }

    fn capabilities(&self) -> DeviceCapabilities {
        let mut capabilities = DeviceCapabilities::default();
        capabilities.medium = Medium::Ethernet;
        capabilities.max_transmission_unit = 1514;
        capabilities
    }
}

pub struct Token<'a>(&'a Queues, Vec<u8>);

impl RxToken for Token<'_> {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, look: F) -> R {
        look(&self.1)
    }
}

impl TxToken for Token<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, length: usize, fill: F) -> R {
        let mut frame = vec![0; length];
        let result = fill(&mut frame);
        self.0.outbound.borrow_mut().push_back(frame);
        result
    }
}
