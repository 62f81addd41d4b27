//! Pages and event channels of a guest, as dom0's kernel offers them to programs
//! (include/uapi/xen/gntdev.h and evtchn.h of Linux).

use std::ffi::c_void;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::ptr::{self, NonNull};
use std::slice;
use std::sync::atomic::{AtomicU8, AtomicU32, Ordering};

use rustix::ioctl::{Direction, Ioctl, IoctlOutput, Opcode, ioctl, opcode};
use rustix::mm::{MapFlags, ProtFlags, mmap, munmap};

/// Bytes of a page of Xen's.
pub const PAGE: usize = 4096;

/// A request with its argument, which the kernel may change.
struct Request<const GROUP: u8, const NUMBER: u8, T>(T);

// SAFETY: each request of the two headers has a number without direction, by the size of its
// argument, which is a `T` where this is used; the kernel writes no more than that.
unsafe impl<const GROUP: u8, const NUMBER: u8, T: Copy> Ioctl for Request<GROUP, NUMBER, T> {
    type Output = (T, i32);

    const IS_MUTATING: bool = true;

    fn opcode(&self) -> Opcode {
        opcode::from_components(Direction::None, GROUP, NUMBER, size_of::<T>())
    }

    fn as_ptr(&mut self) -> *mut c_void {
        ptr::from_mut(&mut self.0).cast()
    }

    unsafe fn output_from_ptr(
        value: IoctlOutput,
        argument: *mut c_void,
    ) -> rustix::io::Result<Self::Output> {
        // SAFETY: it is the pointer that `as_ptr` gave, to a `T`, of which any bytes are one here.
        Ok((unsafe { argument.cast::<T>().read() }, value))
    }
}

/// `ioctl_gntdev_map_grant_ref` with one reference.
#[repr(C)]
#[derive(Clone, Copy)]
struct MapGrant {
    count: u32,
    pad: u32,
    index: u64,
    domain: u32,
    reference: u32,
}

/// `ioctl_gntdev_unmap_grant_ref`
#[repr(C)]
#[derive(Clone, Copy)]
struct UnmapGrant {
    index: u64,
    count: u32,
    pad: u32,
}

/// A page that a guest has granted, mapped.
pub struct Page {
    device: File,
    index: u64,
    address: NonNull<c_void>,
}

impl Page {
    /// Maps a page for reading and writing.
    pub fn map(domain: u16, reference: u32) -> io::Result<Self> {
        let device = File::options().read(true).write(true).open("/dev/xen/gntdev")?;
        let map = MapGrant { count: 1, pad: 0, index: 0, domain: domain.into(), reference };
        // SAFETY: it is IOCTL_GNTDEV_MAP_GRANT_REF with its argument.
        let (MapGrant { index, .. }, _) = unsafe { ioctl(&device, Request::<b'G', 0, _>(map))? };
        let protection = ProtFlags::READ | ProtFlags::WRITE;
        // SAFETY: the kernel chooses the address, so nothing else is there.
        let address =
            unsafe { mmap(ptr::null_mut(), PAGE, protection, MapFlags::SHARED, &device, index)? };
        let address = NonNull::new(address).ok_or(io::ErrorKind::AddrNotAvailable)?;
        Ok(Self { device, index, address })
    }

    /// Its words.
    pub fn words(&self) -> &[AtomicU32] {
        // SAFETY: a page is mapped at this address as long as `self` is there, and all who write to
        // it here do it atomically; what the guest does is its own affair.
        unsafe { slice::from_raw_parts(self.address.cast().as_ptr(), PAGE / 4) }
    }

    /// Its bytes. Whoever uses some of them as bytes uses no words there.
    pub fn bytes(&self) -> &[AtomicU8] {
        // SAFETY: as in `words`.
        unsafe { slice::from_raw_parts(self.address.cast().as_ptr(), PAGE) }
    }

    /// The word at `offset` bytes.
    pub fn word(&self, offset: usize) -> &AtomicU32 {
        &self.words()[offset / 4]
    }

    /// Writes bytes at `offset`, both multiples of 4.
    pub fn write(&self, offset: usize, bytes: &[u8]) {
        for (word, value) in self.words().iter().skip(offset / 4).zip(bytes.chunks_exact(4)) {
            let value = u32::from_ne_bytes(std::array::from_fn(|index| value[index]));
            word.store(value, Ordering::SeqCst);
        }
    }
}

impl Drop for Page {
    fn drop(&mut self) {
        // SAFETY: `map` has mapped it, and no reference into it outlives `self`.
        let _ = unsafe { munmap(self.address.as_ptr(), PAGE) };
        let unmap = UnmapGrant { index: self.index, count: 1, pad: 0 };
        // SAFETY: it is IOCTL_GNTDEV_UNMAP_GRANT_REF with its argument.
        let _ = unsafe { ioctl(&self.device, Request::<b'G', 1, _>(unmap)) };
    }
}

/// An event channel to a guest. Closed when dropped.
pub struct Channel {
    device: File,
    port: u32,
}

impl Channel {
    /// Connects to a guest's channel.
    pub fn bind(domain: u16, port: u32) -> io::Result<Self> {
        let device = File::options().read(true).write(true).open("/dev/xen/evtchn")?;
        let argument = [u32::from(domain), port];
        // SAFETY: it is IOCTL_EVTCHN_BIND_INTERDOMAIN with its argument: domain and port.
        let (_, port) = unsafe { ioctl(&device, Request::<b'E', 1, _>(argument))? };
        Ok(Self { device, port: port as u32 })
    }

    /// Takes the event that has come, and lets others come. Call it when there is one, which
    /// [`as_fd`](Self::as_fd) is readable for.
    pub fn take(&self) -> io::Result<()> {
        let mut port = [0; 4];
        (&self.device).read_exact(&mut port)?;
        // Written, the port is unmasked.
        (&self.device).write_all(&port)
    }

    /// Sends the guest an event.
    pub fn notify(&self) {
        // SAFETY: it is IOCTL_EVTCHN_NOTIFY with its argument, the port. It fails if the guest has
        // closed its end.
        let _ = unsafe { ioctl(&self.device, Request::<b'E', 4, _>(self.port)) };
    }
}

impl AsFd for Channel {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.device.as_fd()
    }
}
