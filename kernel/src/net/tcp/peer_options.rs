//! What the peer says about itself in its SYN (RFC 9293 section 3.2).

use smoltcp::wire::TcpPacket;

/// What the peer said when the connection was made.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::net) struct PeerOptions {
    pub(super) max_segment_size: Option<u16>,
    pub(super) window_scale: Option<u8>,
    pub(super) sack: bool,
}

impl PeerOptions {
    /// The options of a SYN, header and all.
    pub(super) fn of(segment: &[u8]) -> Self {
        let summary = TcpPacket::new_checked(segment).and_then(|packet| packet.options_summary());
        let Ok(summary) = summary else { return Self::default() };
        Self {
            max_segment_size: summary.max_segment_size,
            window_scale: summary.window_scale,
            sack: summary.sack_permitted,
        }
    }

    /// Whether the peer takes a scaled window.
    pub(super) fn scales(&self) -> bool {
        self.window_scale.is_some()
    }

    /// Most bytes that the peer takes in one segment, if it said so.
    pub(super) fn max_segment_size(&self) -> Option<usize> {
        self.max_segment_size.map(usize::from)
    }
}
