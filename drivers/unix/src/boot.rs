//! The machine that a process is, in the form in which discovery reports one.

use mayfly_arch::{BootInfo, Device, Hypervisor, Uart, UartKind};
use rustix::process::{Resource, Rlimit, setrlimit};

use crate::{Options, entropy};

/// A machine with the options' devices and memory, which it has until the process ends.
///
/// The memory is the host's, and so is the allocator. But the process gets no more of it than was
/// asked for, so that an app can be tried out with little: allocations fail as they would there.
pub fn boot_info(options: Options) -> &'static BootInfo {
    let memory_total = (options.memory as u64) << 20;
    let mut info = BootInfo {
        memory: Default::default(),
        memory_total,
        command_line: options.command_line.leak(),
        initrd: None,
        seed: Default::default(),
        hypervisor: Hypervisor::Unix,
        devices: Default::default(),
        warnings: Default::default(),
    };
    let limit = Rlimit { current: Some(memory_total), maximum: Some(memory_total) };
    if setrlimit(Resource::Data, limit).is_err() {
        warn(&mut info, "the host does not let us limit the memory of the process");
    }
    // 32 bytes fit in 64.
    let _ = info.seed.extend_from_slice(&entropy::seed());
    let console = Device::Uart(Uart { kind: UartKind::Stdio, irq: None });
    for device in std::iter::once(console).chain(options.devices.into_iter().map(Device::Host)) {
        if info.devices.push(device).is_err() {
            warn(&mut info, "too many devices; the last ones are left out");
        }
    }
    Box::leak(Box::new(info))
}

fn warn(info: &mut BootInfo, text: &'static str) {
    if !info.warnings.contains(&text) {
        let _ = info.warnings.push(text);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_machine_has_what_was_asked_for() {
        let arguments = ["--mayfly-memory=512", "--mayfly-disk=x", "--mayfly-net=tap:t", "port=1"];
        let options = Options::parse(arguments.map(Into::into)).expect("accepted");
        let info = boot_info(options);
        assert_eq!((info.memory_total, info.command_line), (512 << 20, "port=1"));
        assert_eq!(info.devices.len(), 3);
        assert!(info.seed.iter().any(|byte| *byte != 0));
    }
}
