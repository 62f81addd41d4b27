//! Lets a paused domain run, by the hypercall itself: `xl unpause` takes longer to start than some
//! guests to boot, so that nobody could tell when they were entered.

use std::fs::File;
use std::io;

use rustix::ioctl::{Setter, ioctl};

/// Where Linux takes hypercalls of a privileged program.
const PRIVCMD: &str = "/dev/xen/privcmd";
/// `IOCTL_PRIVCMD_HYPERCALL` (include/uapi/xen/privcmd.h in Linux): `_IOC(_IOC_NONE, 'P', 0, 48)`.
const HYPERCALL: u32 = 0x0030_5000;
/// `__HYPERVISOR_domctl` (xen/include/public/xen.h).
const DOMCTL: u64 = 36;
/// `XEN_DOMCTL_unpausedomain` and the version of the interface of Xen 4.17
/// (xen/include/public/domctl.h).
const UNPAUSE_DOMAIN: u32 = 4;
const INTERFACE_VERSION: u32 = 0x15;

/// `struct privcmd_hypercall`.
#[repr(C)]
struct Hypercall {
    number: u64,
    arguments: [u64; 5],
}

/// `struct xen_domctl`, whose parameters are none here. It does not cross a page.
#[repr(C, align(256))]
struct Domctl {
    command: u32,
    interface_version: u32,
    domain: u16,
    padding: [u16; 3],
    parameters: [u64; 16],
}

/// Calls Xen.
///
/// # Errors
/// If this is not dom0, or there is no such domain.
pub fn unpause(domain: u16) -> io::Result<()> {
    let privcmd = File::options().read(true).write(true).open(PRIVCMD)?;
    let domctl = Domctl {
        command: UNPAUSE_DOMAIN,
        interface_version: INTERFACE_VERSION,
        domain,
        padding: [0; 3],
        parameters: [0; 16],
    };
    let address = (&raw const domctl).expose_provenance() as u64;
    let call = Hypercall { number: DOMCTL, arguments: [address, 0, 0, 0, 0] };
    // SAFETY: `HYPERCALL` is the number of a request that reads a `struct privcmd_hypercall`, which
    // `Hypercall` is laid out as. Xen reads `domctl`, which is alive and as large as it expects, and
    // for this command writes nothing else of this process.
    unsafe { ioctl(&privcmd, Setter::<HYPERCALL, Hypercall>::new(call)) }?;
    // It has to be alive until here.
    std::hint::black_box(&domctl);
    Ok(())
}
