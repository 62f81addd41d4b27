//! Frames on a TAP interface of the host: see Documentation/networking/tuntap.rst of Linux.

use std::{
    fs::OpenOptions,
    io,
    os::{fd::OwnedFd, unix::fs::OpenOptionsExt},
    rc::Rc,
    task::{Context, Poll},
};

use mayfly_arch::poll::{Interest, Watch};
use mayfly_device::{DeviceError, FrameBuf, FramePool, NetDevice, NetInfo, Received};
use rustix::{
    fs::OFlags,
    io::{Errno, read, write},
    ioctl::{Opcode, Updater, ioctl, opcode},
};

use crate::{
    OpenError,
    link::{self, TRANSMIT_ROOM},
};

/// `TUNSETIFF` of linux/if_tun.h.
const TUNSETIFF: Opcode = opcode::write::<i32>(b'T', 202);
/// `IFF_TAP` and `IFF_NO_PI` of linux/if_tun.h: Ethernet frames, with nothing before them.
const FLAGS: i16 = 0x0002 | 0x1000;

/// `struct ifreq` of linux/if.h, as far as `TUNSETIFF` uses it.
#[repr(C)]
struct InterfaceRequest {
    name: [u8; 16],
    flags: i16,
    rest: [u8; 22],
}

const _: () = assert!(size_of::<InterfaceRequest>() == 40);

/// A network device on a TAP interface. Each read and each write is one frame.
pub struct Tap {
    watch: Watch,
    mac: [u8; 6],
    pool: Rc<dyn FramePool>,
    /// A frame that the interface had no room for.
    waiting: Option<FrameBuf>,
    gone: bool,
}

impl Tap {
    /// Attaches to the interface `name`, or makes it if we may.
    ///
    /// # Errors
    /// There is no such interface, or it is not ours to use.
    pub fn open(name: &str, mac: [u8; 6]) -> Result<Self, OpenError> {
        let fd = attach(name).map_err(|error| OpenError::Tap { name: name.to_owned(), error })?;
        Ok(Self { watch: Watch::new(fd), mac, pool: link::pool(), waiting: None, gone: false })
    }

    /// Writes a frame. Gives it back if there is no room for it.
    fn write(&mut self, frame: FrameBuf) -> Option<FrameBuf> {
        match write(&self.watch, frame.bytes()) {
            Err(Errno::AGAIN | Errno::INTR) => return Some(frame),
            // An interface that is down drops frames; it may come up again.
            Ok(_) | Err(Errno::IO) => {}
            Err(error) => self.fail(error),
        }
        None
    }

    fn fail(&mut self, error: Errno) {
        log::error!("TAP interface: {error}");
        self.gone = true;
    }
}

fn attach(name: &str) -> io::Result<OwnedFd> {
    let flags = (OFlags::NONBLOCK | OFlags::CLOEXEC).bits() as i32;
    let file =
        OpenOptions::new().read(true).write(true).custom_flags(flags).open("/dev/net/tun")?;
    let mut request = InterfaceRequest { name: [0; 16], flags: FLAGS, rest: [0; 22] };
    // The last byte stays 0: it ends the name.
    request.name.iter_mut().take(15).zip(name.bytes()).for_each(|(to, from)| *to = from);
    // SAFETY: the kernel reads and writes a `struct ifreq`, for which there is room, and keeps no
    // reference to it.
    unsafe { ioctl(&file, Updater::<TUNSETIFF, _>::new(&mut request))? };
    Ok(file.into())
}

impl NetDevice for Tap {
    fn info(&self) -> NetInfo {
        link::info(self.mac)
    }

    fn pool(&self) -> Rc<dyn FramePool> {
        Rc::clone(&self.pool)
    }

    fn receive(&mut self) -> Option<Received> {
        if self.gone {
            return None;
        }
        let Some(mut frame) = FrameBuf::allocate(&self.pool, 0) else {
            // Without memory, the frame is lost, as it would be in a card without buffers.
            let _ = read(&self.watch, &mut [0; 64]);
            return None;
        };
        match read(&self.watch, frame.whole_mut()) {
            Ok(length) => frame.set_range(0, length).then_some(Received { frame, checked: false }),
            Err(Errno::AGAIN | Errno::INTR | Errno::IO) => None,
            Err(error) => {
                self.fail(error);
                None
            }
        }
    }

    fn transmit_room(&mut self) -> usize {
        self.flush();
        if self.waiting.is_some() { 0 } else { TRANSMIT_ROOM }
    }

    fn transmit(&mut self, frame: FrameBuf) -> Result<(), DeviceError> {
        if self.gone {
            return Err(DeviceError::Gone);
        }
        if self.waiting.is_some() {
            return Err(DeviceError::OutOfMemory);
        }
        self.waiting = self.write(frame);
        Ok(())
    }

    fn flush(&mut self) {
        self.waiting = self.waiting.take().and_then(|frame| self.write(frame));
    }

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), DeviceError>> {
        if self.gone {
            return Poll::Ready(Err(DeviceError::Gone));
        }
        self.flush();
        let interest = if self.waiting.is_some() { Interest::ReadOrWrite } else { Interest::Read };
        self.watch.poll_ready(cx, interest).map(Ok)
    }
}
