//! Acknowledgements that tell of a gap in what the peer has got.
//!
//! After three of them, what is missing is sent again at once (RFC 5681 section 3.2). By that
//! document they are only duplicates if the window stays the same; but that of Linux grows while data
//! comes, gap or not, so that smoltcp 0.14 never counts to three and waits for a second instead. Who
//! selects what is acknowledged says in each of them that there is a gap, whatever the window (RFC
//! 6675 section 2). Those get the window of the one before, until the gap is closed.

use alloc::vec::Vec;

use smoltcp::wire::{TcpOption, TcpPacket};

use super::{
    connection::Connection,
    segment::{ACK, FIN, RST, SYN, Tcp},
};
use crate::net::wire::Segment;

/// Place of the window field in a header, in bytes.
const WINDOW: usize = 14;

impl Connection {
    /// A copy of the frame with the window of the one before, which `tcp` has then, too, if smoltcp
    /// would not see otherwise that it tells of a gap. `None` for all others, or if there is no memory.
    #[inline]
    pub(super) fn repeat_window(
        &self,
        frame: &[u8],
        segment: &Segment,
        tcp: &mut Tcp,
    ) -> Option<Vec<u8>> {
        let is_repeated = tcp.payload == 0
            && tcp.flags & (SYN | FIN | RST | ACK) == ACK
            && self.progress.is_acknowledged(tcp.acknowledgement);
        // What is missing was sent within the window of before. A closed one must open.
        let grows = 0 < self.peer_window && self.peer_window < tcp.window;
        if !is_repeated || !grows || !tells_of_gap(frame.get(segment.start..segment.end)?) {
            return None;
        }
        let mut copy = Vec::new();
        copy.try_reserve_exact(frame.len()).ok()?;
        copy.extend_from_slice(frame);
        let field = copy.get_mut(segment.start..)?.get_mut(WINDOW..)?.first_chunk_mut()?;
        *field = self.peer_window.to_be_bytes();
        tcp.window = self.peer_window;
        Some(copy)
    }
}

/// Whether there is an option in this segment that selects what is acknowledged (RFC 2018 section 3).
fn tells_of_gap(segment: &[u8]) -> bool {
    let Ok(packet) = TcpPacket::new_checked(segment) else { return false };
    let mut options = packet.options();
    while !options.is_empty() {
        match TcpOption::parse(options) {
            Ok((_, TcpOption::EndOfList)) | Err(_) => return false,
            Ok((_, TcpOption::SackRange(_))) => return true,
            Ok((rest, _)) => options = rest,
        }
    }
    false
}
