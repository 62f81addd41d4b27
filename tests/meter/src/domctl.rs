//! What only the toolstack may ask of Xen, by the hypercall itself.
//!
//! `xl unpause` takes longer to start than some guests to boot, so that nobody could tell when they
//! were entered, and `xl list` rounds the time of a guest to tenths of a second.

use std::fs::File;
use std::io;
use std::time::Duration;

use rustix::ioctl::{Setter, ioctl};

/// Where Linux takes hypercalls of a privileged program.
const PRIVCMD: &str = "/dev/xen/privcmd";
/// `IOCTL_PRIVCMD_HYPERCALL` (include/uapi/xen/privcmd.h in Linux): `_IOC(_IOC_NONE, 'P', 0, 48)`.
const HYPERCALL: u32 = 0x0030_5000;
/// `__HYPERVISOR_domctl` (xen/include/public/xen.h).
const DOMCTL: u64 = 36;
/// `XEN_DOMCTL_unpausedomain`, `XEN_DOMCTL_getdomaininfo`, and the version of the interface of Xen
/// 4.17 (xen/include/public/domctl.h).
const UNPAUSE_DOMAIN: u32 = 4;
const GET_DOMAIN_INFO: u32 = 5;
const INTERFACE_VERSION: u32 = 0x15;
/// Where `struct xen_domctl_getdomaininfo` has `cpu_time`, in words of 64 bits.
const CPU_TIME: usize = 7;

/// `struct privcmd_hypercall`.
#[repr(C)]
struct Hypercall {
    number: u64,
    arguments: [u64; 5],
}

/// `struct xen_domctl`, with its parameters as words. It does not cross a page.
#[repr(C, align(256))]
struct Domctl {
    command: u32,
    interface_version: u32,
    domain: u16,
    padding: [u16; 3],
    parameters: [u64; 16],
}

/// Lets a paused domain run.
///
/// # Errors
/// If this is not dom0, or there is no such domain.
pub fn unpause(domain: u16) -> io::Result<()> {
    call(UNPAUSE_DOMAIN, domain).map(|_| ())
}

/// How long a domain has had a processor so far.
///
/// # Errors
/// If this is not dom0, or there is no such domain.
pub fn processor_time(domain: u16) -> io::Result<Duration> {
    let information = call(GET_DOMAIN_INFO, domain)?;
    Ok(Duration::from_nanos(information[CPU_TIME]))
}

/// Asks Xen to do something with a domain that needs no parameters, and gives what it answers.
fn call(command: u32, domain: u16) -> io::Result<[u64; 16]> {
    let privcmd = File::options().read(true).write(true).open(PRIVCMD)?;
    let mut domctl = Domctl {
        command,
        interface_version: INTERFACE_VERSION,
        domain,
        padding: [0; 3],
        parameters: [0; 16],
    };
    let address = (&raw mut domctl).expose_provenance() as u64;
    let call = Hypercall { number: DOMCTL, arguments: [address, 0, 0, 0, 0] };
    // SAFETY: `HYPERCALL` is the number of a request that reads a `struct privcmd_hypercall`, which
    // `Hypercall` is laid out as. Xen reads and writes `domctl`, which is alive, nobody else's, and
    // as large as it expects, and for both commands nothing else of this process.
    unsafe { ioctl(&privcmd, Setter::<HYPERCALL, Hypercall>::new(call)) }?;
    // It has been written by somebody whom the compiler knows nothing of.
    let domctl = std::hint::black_box(&mut domctl);
    Ok(domctl.parameters)
}
