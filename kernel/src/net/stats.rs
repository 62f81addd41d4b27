//! What a network has done, in numbers.

/// Counters of one network since it started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Frames that the device delivered.
    pub received_frames: u64,
    /// Frames given to the device.
    pub sent_frames: u64,
    /// Frames that the device did not take.
    pub unsent_frames: u64,
    /// Frames dropped because they are malformed, fragments, or not for this network.
    pub dropped_frames: u64,
    /// Datagrams dropped because a socket's queue was full, or memory short.
    pub dropped_datagrams: u64,
    /// Connection requests not answered because a listener's backlog was full.
    pub dropped_requests: u64,
    /// Times that there was no memory for a frame, a datagram or a connection.
    pub out_of_memory: u64,
    /// Times that a TCP connection got other buffers.
    pub resized_buffers: u64,
    /// Times that the runner ran.
    pub runs: u64,
    /// TCP connections that exist now, those that are being closed included.
    pub connections: u32,
}
