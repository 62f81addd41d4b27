//! The same peer as a client whose SYN was only recorded: it has asked, and waits.

use std::time::Duration;

use mayfly::time::timeout;
use smoltcp::wire::{TcpPacket, TcpRepr};

use super::Sender;

/// After that time without a segment, none is on its way.
const QUIET: Duration = Duration::from_millis(20);

/// What the answer to its SYN says.
#[derive(Debug, PartialEq, Eq)]
pub struct Answer {
    pub max_segment_size: Option<u16>,
    pub window_scale: Option<u8>,
}

/// What was sent to it, in bytes.
#[derive(Debug, Default)]
pub struct Sent {
    /// The longest segment.
    pub longest: usize,
    /// The most that it had not acknowledged.
    pub most: usize,
}

impl Sender {
    /// Waits for the answer to its SYN, and acknowledges it with this window field.
    pub async fn be_answered(&mut self, window: u16) -> Answer {
        let bytes = self.hear().await;
        self.begin(&bytes);
        let packet = TcpPacket::new_checked(&bytes[34..]).unwrap();
        assert!(packet.ack() && packet.ack_number() == self.start);
        let options = packet.options_summary().unwrap();
        self.tell(window);
        Answer { max_segment_size: options.max_segment_size, window_scale: options.window_scale }
    }

    /// Reads `length` bytes. It acknowledges them when no more come, with the same window field.
    pub async fn read_in_turns(&mut self, length: usize, window: u16) -> Sent {
        let (mut sent, end) = (Sent::default(), self.other + length);
        while self.other < end {
            let mut newest = self.other;
            while let Ok(bytes) = timeout(QUIET, self.hear()).await {
                let packet = TcpPacket::new_checked(&bytes[34..]).unwrap();
                let length = packet.payload().len();
                sent.longest = sent.longest.max(length);
                if packet.seq_number() + length > newest {
                    newest = packet.seq_number() + length;
                }
            }
            sent.most = sent.most.max(newest - self.other);
            self.other = newest;
            self.tell(window);
        }
        sent
    }

    fn tell(&mut self, window_len: u16) {
        self.send(&TcpRepr { window_len, ..self.repr(0, &[]) });
    }
}
