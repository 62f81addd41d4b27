//! What can be chosen about a TCP connection before it exists.

/// Sizes of a connection's buffers, in bytes; they are rounded to whole segments.
///
/// A connection begins with small buffers. Those of one that moves much data grow, as far as memory
/// allows, and shrink again when the connection has been idle for ten seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TcpOptions {
    /// What the peer may send before it is read, at first.
    pub receive_buffer: usize,
    /// What can be written before the peer acknowledges it, at first.
    pub send_buffer: usize,
    /// What the receive buffer may grow to; at most 65,535.
    pub max_receive_buffer: usize,
    /// What the send buffer may grow to; at most a mebibyte.
    pub max_send_buffer: usize,
}

/// The largest window without a scale, which is fixed when a connection begins.
const MAX_BUFFER: usize = 65_535;
/// The peer scales its window as it likes, so this is only what is reasonable.
const MAX_SEND_BUFFER: usize = 1 << 20;

impl Default for TcpOptions {
    fn default() -> Self {
        Self {
            receive_buffer: 4096,
            send_buffer: 4096,
            max_receive_buffer: MAX_BUFFER,
            max_send_buffer: MAX_SEND_BUFFER / 4,
        }
    }
}

impl TcpOptions {
    /// The sizes for segments of `segment` bytes: an even number of them, because a peer
    /// acknowledges every second one at once, but the odd one late.
    pub(super) fn rounded(&self, segment: usize) -> Self {
        let pair = segment.clamp(1, MAX_BUFFER / 2) * 2;
        let round = |size: usize, most: usize| (size.min(most) / pair).max(1) * pair;
        let (receive, send) = (self.receive_buffer, self.send_buffer);
        Self {
            receive_buffer: round(receive, MAX_BUFFER),
            send_buffer: round(send, MAX_SEND_BUFFER),
            max_receive_buffer: round(self.max_receive_buffer.max(receive), MAX_BUFFER),
            max_send_buffer: round(self.max_send_buffer.max(send), MAX_SEND_BUFFER),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_pairs_of_segments() {
        let rounded = TcpOptions::default().rounded(1460);
        assert_eq!((rounded.receive_buffer, rounded.max_send_buffer), (2920, 259_880));
        let tiny = TcpOptions { receive_buffer: 0, max_receive_buffer: 1, ..rounded }.rounded(48);
        assert_eq!((tiny.receive_buffer, tiny.max_receive_buffer), (96, 96));
        let odd = TcpOptions::default().rounded(usize::MAX);
        assert_eq!(odd.max_receive_buffer, 65_534);
        assert_eq!(TcpOptions::default().rounded(0).max_receive_buffer, 65_534);
    }
}
