//! The other end of a link, played by hand.

use std::{future::poll_fn, task::Poll};

use mayfly_device::{FrameBuf, NetDevice};

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

    /// Waits for the next frame with this Ethernet type.
    pub async fn receive_of(&mut self, ethertype: [u8; 2]) -> Vec<u8> {
        loop {
            let frame = self.receive().await;
            if frame[12..14] == ethertype {
                return frame;
            }
        }
    }

    pub fn send(&mut self, bytes: &[u8]) {
        let mut frame = FrameBuf::allocate(&self.0.pool(), 12).unwrap();
        assert!(frame.set_range(12, 12 + bytes.len()));
        frame.bytes_mut().copy_from_slice(bytes);
        self.0.transmit(frame).unwrap();
        self.0.flush();
    }
}
