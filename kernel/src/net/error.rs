//! What can go wrong on the network.

use core::fmt;

use embedded_io_async::ErrorKind;

/// Why a network operation failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Error {
    /// Another socket of this network has the port.
    AddressInUse,
    /// The remote address, or the port 0, is nothing one can talk to.
    InvalidAddress,
    /// No address of this network reaches the destination, and no gateway does.
    Unreachable,
    /// The peer refused the connection.
    Refused,
    /// The peer reset the connection.
    Reset,
    /// The peer did not answer in time.
    TimedOut,
    /// The connection was closed on this side.
    Closed,
    /// The datagram does not fit into a packet of this network.
    MessageTooLong,
    /// The buffer is smaller than the datagram.
    Truncated,
    /// The name is not a valid domain name.
    InvalidName,
    /// The name does not exist or has no address of the kind asked for.
    NameNotFound,
    /// No name server is known.
    NoNameServer,
    /// There are too many queries under way.
    Busy,
    /// There is no memory for the socket, or no free port.
    OutOfMemory,
    /// The network device failed or is gone.
    DeviceGone,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::AddressInUse => "port in use: choose another, or drop the socket that has it",
            Self::InvalidAddress => "invalid address: use a specified address and a port above 0",
            Self::Unreachable => "no route: wait until the network is configured, or set a gateway",
            Self::Refused => "connection refused: check that the peer listens on this port",
            Self::Reset => "connection reset by the peer: connect again",
            Self::TimedOut => "the peer does not answer: check the address, then try again",
            Self::Closed => "the connection is closed on this side: open a new one",
            Self::MessageTooLong => "datagram too long: send less than the network's MTU at once",
            Self::Truncated => "buffer smaller than the datagram: offer a larger one",
            Self::InvalidName => "invalid name: labels of 1 to 63 bytes, 254 bytes in all",
            Self::NameNotFound => "name not found: check its spelling and the kind of address",
            Self::NoNameServer => "no name server: set dns=, or use DHCP",
            Self::Busy => "too many queries at once: wait for one of them",
            Self::OutOfMemory => "no memory or port for a socket: close some, or give more memory",
            Self::DeviceGone => "the network device is gone: check the hypervisor's log",
        })
    }
}

impl core::error::Error for Error {}

impl embedded_io_async::Error for Error {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::AddressInUse => ErrorKind::AddrInUse,
            Self::InvalidAddress | Self::InvalidName => ErrorKind::InvalidInput,
            Self::MessageTooLong | Self::Truncated => ErrorKind::InvalidInput,
            Self::Unreachable | Self::NoNameServer => ErrorKind::AddrNotAvailable,
            Self::Refused => ErrorKind::ConnectionRefused,
            Self::Reset => ErrorKind::ConnectionReset,
            Self::TimedOut => ErrorKind::TimedOut,
            Self::Closed => ErrorKind::BrokenPipe,
            Self::NameNotFound => ErrorKind::NotFound,
            Self::OutOfMemory => ErrorKind::OutOfMemory,
            Self::Busy | Self::DeviceGone => ErrorKind::Other,
        }
    }
}
