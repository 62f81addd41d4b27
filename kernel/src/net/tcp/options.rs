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
    /// What the send buffer may grow to; at most 65,535.
    pub max_send_buffer: usize,
}

/// The largest window without a scale, which is fixed when a connection begins.
const MAX_BUFFER: usize = 65_535;

impl Default for TcpOptions {
    fn default() -> Self {
        Self {
            receive_buffer: 4096,
            send_buffer: 4096,
            max_receive_buffer: MAX_BUFFER,
            max_send_buffer: MAX_BUFFER,
        }
    }
}

impl TcpOptions {
    /// The sizes for segments of `segment` bytes: an even number of them, because a peer
    /// acknowledges every second one at once, but the odd one late.
    pub(super) fn rounded(&self, segment: usize) -> Self {
        let pair = segment.clamp(1, MAX_BUFFER / 2) * 2;
        let round = |size: usize| (size.min(MAX_BUFFER) / pair).max(1) * pair;
        Self {
            receive_buffer: round(self.receive_buffer),
            send_buffer: round(self.send_buffer),
            max_receive_buffer: round(self.max_receive_buffer.max(self.receive_buffer)),
            max_send_buffer: round(self.max_send_buffer.max(self.send_buffer)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_pairs_of_segments() {
        let rounded = TcpOptions::default().rounded(1460);
        assert_eq!((rounded.receive_buffer, rounded.max_send_buffer), (2920, 64_240));
        let tiny = TcpOptions { receive_buffer: 0, max_receive_buffer: 1, ..rounded }.rounded(48);
        assert_eq!((tiny.receive_buffer, tiny.max_receive_buffer), (96, 96));
        let odd = TcpOptions::default().rounded(usize::MAX);
        assert_eq!(odd.send_buffer, 65_534);
        assert_eq!(TcpOptions::default().rounded(0).max_send_buffer, 65_534);
    }
}
