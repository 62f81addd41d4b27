//! What can be chosen about a TCP connection before it exists.

use super::window::{MAX_PLAIN, MAX_SCALED, STEP};

/// Sizes of a connection's buffers, in bytes; they are rounded to whole segments.
///
/// A connection begins with small buffers. Those of one that moves much data grow, as far as memory
/// allows, and shrink again when the connection has been idle for ten seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TcpOptions {
    /// What the peer may send before it is read, at first; at most 65,535.
    pub receive_buffer: usize,
    /// What can be written before the peer acknowledges it, at first.
    pub send_buffer: usize,
    /// What the receive buffer may grow to; at most a mebibyte, and at most 65,535 with a peer that
    /// does not scale windows (RFC 7323 section 2).
    pub max_receive_buffer: usize,
    /// What the send buffer may grow to; at most a mebibyte.
    pub max_send_buffer: usize,
}

/// The peer scales its window as it likes, so this is only what is reasonable.
pub(super) const MAX_SEND_BUFFER: usize = 1 << 20;

impl Default for TcpOptions {
    fn default() -> Self {
        Self {
            receive_buffer: 4096,
            send_buffer: 4096,
            max_receive_buffer: MAX_SEND_BUFFER / 4,
            max_send_buffer: MAX_SEND_BUFFER / 4,
        }
    }
}

impl TcpOptions {
    /// The sizes for segments of `segment` bytes: an even number of them, because a peer
    /// acknowledges every second one at once, but the odd one late.
    pub(super) fn rounded(&self, segment: usize) -> Self {
        let send = |size: usize| pairs(size.min(MAX_SEND_BUFFER), segment);
        let receive = |size: usize, most: usize| receive_size(size, segment).min(most);
        Self {
            // The window of a SYN is not scaled, and smoltcp 0.14 takes it for one that is.
            receive_buffer: receive(self.receive_buffer, MAX_PLAIN),
            send_buffer: send(self.send_buffer),
            max_receive_buffer: receive(
                self.max_receive_buffer.max(self.receive_buffer),
                MAX_SCALED,
            ),
            max_send_buffer: send(self.max_send_buffer.max(self.send_buffer)),
        }
    }
}

/// The size of a receive buffer, of at most `size` bytes or a little more, whose window the peer
/// sees as an even number of segments: windows are told in steps.
pub(super) fn receive_size(size: usize, segment: usize) -> usize {
    pairs(size.min(MAX_SCALED), segment).next_multiple_of(STEP)
}

/// As many pairs of segments as are in `size`, and at least one, in bytes.
fn pairs(size: usize, segment: usize) -> usize {
    let pair = segment.clamp(1, MAX_PLAIN / 2) * 2;
    (size / pair).max(1) * pair
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_pairs_of_segments() {
        let rounded = TcpOptions::default().rounded(1460);
        assert_eq!((rounded.receive_buffer, rounded.max_send_buffer), (2928, 259_880));
        assert_eq!(rounded.max_receive_buffer, 259_888);
        assert_eq!(rounded.rounded(1460), rounded);
        let tiny = TcpOptions { receive_buffer: 0, max_receive_buffer: 1, ..rounded };
        let tiny = tiny.rounded(48);
        assert_eq!((tiny.receive_buffer, tiny.max_receive_buffer), (96, 96));
    }

    #[test]
    fn sizes_fit_the_window() {
        let greedy = TcpOptions {
            receive_buffer: 1 << 30,
            max_receive_buffer: usize::MAX,
            ..Default::default()
        };
        for segment in [0, 1, 48, 536, 1440, 1448, 1460, 8960, usize::MAX] {
            let sizes = greedy.rounded(segment);
            assert!(sizes.receive_buffer <= MAX_PLAIN && sizes.max_receive_buffer <= MAX_SCALED);
            assert!(sizes.max_receive_buffer > MAX_SCALED - 2 * 8960);
        }
    }
}
