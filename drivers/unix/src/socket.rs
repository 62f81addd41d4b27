//! Frames on a stream socket: to passt, which needs no privileges, or to QEMU's `-netdev stream`.
//!
//! Each frame follows its length, a 32-bit number in network byte order: passt(1), option
//! `--socket`, and qemu(1), `-netdev stream`.

use std::{
    io,
    os::{
        fd::{BorrowedFd, FromRawFd, OwnedFd},
        unix::net::UnixStream,
    },
    rc::Rc,
    task::{Context, Poll},
    thread::sleep,
    time::Duration,
};

use mayfly_arch::poll::{Interest, Watch};
use mayfly_device::{DeviceError, FrameBuf, FramePool, NetDevice, NetInfo, Received};
use rustix::{
    fs::fcntl_getfl,
    io::{Errno, read},
    net::{SendFlags, send},
};

use crate::{
    OpenError,
    link::{self, TRANSMIT_ROOM},
};

/// Bytes of the length before each frame.
const PREFIX: usize = 4;
/// No frame is longer than this: the largest packet with its header. Anything else is not the
/// protocol.
const MAX_FRAME: usize = 65536 + 64;
/// How much is read at a time.
const READ_SIZE: usize = 65536;
/// How much may wait to be sent before the queue is full.
const MAX_OUTGOING: usize = 256 * 1024;
/// How often to look for passt's socket, which may be about to come up, and
const ATTEMPTS: u32 = 100;
/// how long to wait in between: two seconds in all.
const PAUSE: Duration = Duration::from_millis(20);

/// A network device on a stream socket.
pub struct FrameSocket {
    watch: Watch,
    mac: [u8; 6],
    pool: Rc<dyn FramePool>,
    incoming: Buffer,
    outgoing: Buffer,
    failure: Option<DeviceError>,
}

impl FrameSocket {
    /// Connects to the socket `path` in the file system. Waits for it for two seconds, so that it
    /// can be started at the same time.
    ///
    /// # Errors
    /// Nobody listens there.
    pub fn connect(path: &str, mac: [u8; 6]) -> Result<Self, OpenError> {
        let fail = |error| OpenError::Socket { name: path.to_owned(), error };
        let mut attempts = 0;
        loop {
            match UnixStream::connect(path) {
                Ok(stream) => return Self::new(stream, mac).map_err(fail),
                Err(error) if attempts == ATTEMPTS || !may_come_up(&error) => {
                    return Err(fail(error));
                }
                Err(_) => sleep(PAUSE),
            }
            attempts += 1;
        }
    }

    /// Takes over a connected socket that the process inherited as descriptor `number`.
    ///
    /// # Errors
    /// There is none of that number.
    pub fn inherit(number: i32, mac: [u8; 6]) -> Result<Self, OpenError> {
        let fail = |error| OpenError::Descriptor { number, error };
        // SAFETY: only borrowed for the one call that finds out whether it is open.
        let is_open = number > 2 && fcntl_getfl(unsafe { BorrowedFd::borrow_raw(number) }).is_ok();
        if !is_open {
            return Err(fail(Errno::BADF.into()));
        }
        // SAFETY: it is open, and whoever started the process with this number on its command line
        // gave it to us alone; devices are opened once.
        let fd = unsafe { OwnedFd::from_raw_fd(number) };
        Self::new(UnixStream::from(fd), mac).map_err(fail)
    }

    fn new(stream: UnixStream, mac: [u8; 6]) -> io::Result<Self> {
        stream.set_nonblocking(true)?;
        Ok(Self {
            watch: Watch::new(stream.into()),
            mac,
            pool: link::pool(),
            incoming: Buffer::default(),
            outgoing: Buffer::default(),
            failure: None,
        })
    }

    /// The next frame of those that have arrived as a whole.
    ///
    /// A frame that is too long for a buffer, or for which there is no memory, is lost, as it would
    /// be in a card without buffers.
    fn next_frame(&mut self) -> Result<Option<FrameBuf>, DeviceError> {
        while let Some(bytes) = self.incoming.frame()? {
            let length = bytes.len();
            let frame = FrameBuf::allocate(&self.pool, 0).and_then(|mut frame| {
                frame.whole_mut().get_mut(..length)?.copy_from_slice(bytes);
                frame.set_range(0, length).then_some(frame)
            });
            self.incoming.consume(PREFIX + length);
            if frame.is_some() {
                return Ok(frame);
            }
        }
        Ok(None)
    }

    /// Reads what has arrived. Returns whether anything has.
    fn read_more(&mut self) -> bool {
        match self.incoming.fill(|room| read(&self.watch, room)) {
            Ok(0) => self.fail(DeviceError::Gone, "the other end has closed the connection"),
            Ok(_) => return true,
            Err(Errno::AGAIN | Errno::INTR) => {}
            Err(_) => self.fail(DeviceError::Gone, "the connection is broken"),
        }
        false
    }

    fn fail(&mut self, failure: DeviceError, text: &str) {
        log::error!("network socket: {text}");
        self.failure = Some(failure);
    }
}

/// Whether the socket may be there later: it does not exist yet, or nobody listens yet.
fn may_come_up(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused)
}

/// Bytes on their way, of which the first ones have been dealt with.
#[derive(Default)]
struct Buffer {
    bytes: Vec<u8>,
    start: usize,
}

impl Buffer {
    fn pending(&self) -> &[u8] {
        self.bytes.get(self.start..).unwrap_or_default()
    }

    fn consume(&mut self, count: usize) {
        self.start += count;
        if self.start >= self.bytes.len() {
            self.bytes.clear();
            self.start = 0;
        }
    }

    /// Adds what `read` puts into the room that it is given, and returns how much that was.
    fn fill(
        &mut self,
        read: impl FnOnce(&mut [u8]) -> Result<usize, Errno>,
    ) -> Result<usize, Errno> {
        self.bytes.drain(..self.start);
        self.start = 0;
        let length = self.bytes.len();
        self.bytes.resize(length + READ_SIZE, 0);
        let result = read(self.bytes.get_mut(length..).unwrap_or_default());
        self.bytes.truncate(length + result.unwrap_or(0));
        result
    }

    /// The next frame, if all of it has arrived; an error if its length cannot be one.
    fn frame(&self) -> Result<Option<&[u8]>, DeviceError> {
        let Some((prefix, rest)) = self.pending().split_first_chunk::<PREFIX>() else {
            return Ok(None);
        };
        let length = u32::from_be_bytes(*prefix) as usize;
        if length > MAX_FRAME { Err(DeviceError::Protocol) } else { Ok(rest.get(..length)) }
    }
}

impl NetDevice for FrameSocket {
    fn info(&self) -> NetInfo {
        link::info(self.mac)
    }

    fn pool(&self) -> Rc<dyn FramePool> {
        Rc::clone(&self.pool)
    }

    fn receive(&mut self) -> Option<Received> {
        while self.failure.is_none() {
            match self.next_frame() {
                Ok(Some(frame)) => return Some(Received { frame, checked: false }),
                Ok(None) => {
                    if !self.read_more() {
                        return None;
                    }
                }
                Err(failure) => self.fail(failure, "the other end does not send frames"),
            }
        }
        None
    }

    fn transmit_room(&mut self) -> usize {
        if self.outgoing.pending().len() < MAX_OUTGOING { TRANSMIT_ROOM } else { 0 }
    }

    fn transmit(&mut self, frame: FrameBuf) -> Result<(), DeviceError> {
        if let Some(failure) = self.failure {
            return Err(failure);
        }
        if self.transmit_room() == 0 {
            return Err(DeviceError::OutOfMemory);
        }
        let bytes = frame.bytes();
        self.outgoing.bytes.extend_from_slice(&(bytes.len() as u32).to_be_bytes());
        self.outgoing.bytes.extend_from_slice(bytes);
        Ok(())
    }

    fn flush(&mut self) {
        while self.failure.is_none() && !self.outgoing.pending().is_empty() {
            match send(&self.watch, self.outgoing.pending(), SendFlags::NOSIGNAL) {
                Ok(count) => self.outgoing.consume(count),
                Err(Errno::AGAIN | Errno::INTR) => return,
                Err(_) => self.fail(DeviceError::Gone, "the connection is broken"),
            }
        }
    }

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), DeviceError>> {
        self.flush();
        if let Some(failure) = self.failure {
            return Poll::Ready(Err(failure));
        }
        let interest = match self.outgoing.pending() {
            [] => Interest::Read,
            _ => Interest::ReadOrWrite,
        };
        self.watch.poll_ready(cx, interest).map(Ok)
    }
}

#[cfg(test)]
mod tests {
    use std::{
        io::{Read, Write},
        task::Waker,
    };

    use mayfly_arch::poll;

    use super::*;

    fn pair() -> (FrameSocket, UnixStream) {
        let (ours, theirs) = UnixStream::pair().expect("a socket pair");
        (FrameSocket::new(ours, [2; 6]).expect("a device"), theirs)
    }

    fn received(device: &mut FrameSocket) -> Option<Vec<u8>> {
        device.receive().map(|received| received.frame.bytes().to_vec())
    }

    fn frame(device: &FrameSocket, bytes: &[u8]) -> FrameBuf {
        let mut frame = FrameBuf::allocate(&device.pool(), 0).expect("memory");
        frame.whole_mut()[..bytes.len()].copy_from_slice(bytes);
        assert!(frame.set_range(0, bytes.len()));
        frame
    }

    #[test]
    fn frames_arrive_whole_however_they_are_cut() {
        let (mut device, mut peer) = pair();
        let stream = b"\0\0\0\x03abc\0\0\0\x02de";
        for byte in stream {
            assert!(device.incoming.bytes.is_empty() || received(&mut device).is_none());
            peer.write_all(&[*byte]).expect("sent");
            if device.incoming.pending().len() == 6 {
                assert_eq!(received(&mut device).as_deref(), Some(&b"abc"[..]));
            } else if byte != &b'e' {
                assert_eq!(received(&mut device), None);
            }
        }
        assert_eq!(received(&mut device).as_deref(), Some(&b"de"[..]));
        assert_eq!(received(&mut device), None);
    }

    #[test]
    fn frames_leave_with_their_length() {
        let (mut device, mut peer) = pair();
        for bytes in [&b"abc"[..], b"de"] {
            let frame = frame(&device, bytes);
            device.transmit(frame).expect("room");
        }
        device.flush();
        let mut bytes = [0; 13];
        peer.read_exact(&mut bytes).expect("arrived");
        assert_eq!(&bytes, b"\0\0\0\x03abc\0\0\0\x02de");
    }

    #[test]
    fn a_peer_that_does_not_read_fills_the_queue_and_loses_nothing() {
        let (mut device, mut peer) = pair();
        let mut sent = 0;
        while device.transmit_room() > 0 {
            let frame = frame(&device, &[7; 1500]);
            device.transmit(frame).expect("room");
            device.flush();
            sent += 1504;
        }
        let mut cx = Context::from_waker(Waker::noop());
        assert!(device.poll_ready(&mut cx).is_pending());
        let mut arrived = vec![0; sent];
        let reader = std::thread::spawn(move || peer.read_exact(&mut arrived).map(|()| arrived));
        while !device.outgoing.pending().is_empty() {
            poll::wait(None);
            while device.poll_ready(&mut cx).is_ready() {}
        }
        let arrived = reader.join().expect("no panic").expect("all of it");
        assert!(arrived.chunks(1504).all(|frame| frame[..4] == 1500u32.to_be_bytes()));
    }

    #[test]
    fn a_long_frame_is_skipped_and_nonsense_ends_the_device() {
        let (mut device, mut peer) = pair();
        peer.write_all(&[&3000u32.to_be_bytes()[..], &[0; 3000], b"\0\0\0\x01x"].concat())
            .expect("sent");
        assert_eq!(received(&mut device).as_deref(), Some(&b"x"[..]));
        peer.write_all(b"HTTP/1.1 400").expect("sent");
        assert_eq!(received(&mut device), None);
        let mut cx = Context::from_waker(Waker::noop());
        assert_eq!(device.poll_ready(&mut cx), Poll::Ready(Err(DeviceError::Protocol)));
    }

    #[test]
    fn the_end_of_the_peer_is_the_end_of_the_device() {
        let (mut device, peer) = pair();
        drop(peer);
        assert_eq!(received(&mut device), None);
        let lost = frame(&device, b"a");
        assert_eq!(device.transmit(lost), Err(DeviceError::Gone));
    }

    #[test]
    fn what_is_not_there_is_an_error_that_says_what_to_do() {
        let error = FrameSocket::inherit(987, [2; 6]).err().expect("not open").to_string();
        assert!(error.contains("descriptor 987"));
        let error =
            FrameSocket::connect(&"x".repeat(200), [2; 6]).err().expect("no socket").to_string();
        assert!(error.contains("passt --foreground"));
    }
}
