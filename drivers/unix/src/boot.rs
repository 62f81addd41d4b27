//! The machine that a process is, in the form in which discovery reports one.

use std::alloc::{Layout, alloc_zeroed};

use mayfly_arch::{
    BootInfo, Device, Hypervisor, PAGE_SIZE, PhysRange, Uart, UartKind, mmu::virt_to_phys,
};

use crate::{Options, entropy};

/// A machine with the options' devices and memory, which it has until the process ends.
pub fn boot_info(options: Options) -> &'static BootInfo {
    let mut info = BootInfo {
        memory: Default::default(),
        memory_total: 0,
        command_line: options.command_line.leak(),
        initrd: None,
        seed: Default::default(),
        hypervisor: Hypervisor::Unix,
        devices: Default::default(),
        warnings: Default::default(),
    };
    match memory(options.memory << 20) {
        Some(range) => {
            info.memory_total = range.size();
            let _ = info.memory.push(range);
        }
        None => warn(&mut info, "the host has no memory for the machine; use --mayfly-memory"),
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

/// Zeroed pages of the host, which takes them from its own memory when they are first touched.
fn memory(size: usize) -> Option<PhysRange> {
    let layout =
        Layout::from_size_align(size, PAGE_SIZE).ok().filter(|layout| layout.size() > 0)?;
    // SAFETY: the size is not zero.
    let start = unsafe { alloc_zeroed(layout) };
    if start.is_null() {
        return None;
    }
    PhysRange::new(virt_to_phys(start)?, size as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_machine_has_what_was_asked_for() {
        let arguments = ["--mayfly-memory=2", "--mayfly-disk=x", "--mayfly-net=tap:t", "port=1"];
        let options = Options::parse(arguments.map(Into::into)).expect("accepted");
        let info = boot_info(options);
        assert_eq!((info.memory_total, info.command_line), (2 << 20, "port=1"));
        assert_eq!(info.devices.len(), 3);
        assert!(info.seed.iter().any(|byte| *byte != 0));
        assert!(info.memory[0].start().0.is_multiple_of(PAGE_SIZE as u64));
    }
}
