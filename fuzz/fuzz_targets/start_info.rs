//! Discovery from PVH start_info and ACPI tables: any memory gives a machine or an error.
#![no_main]

use libfuzzer_sys::fuzz_target;
use mayfly_arch::{
    PhysAddr, PhysRange,
    start_info::{self, PhysicalMemory, acpi, virtio_mmio},
};

/// Memory from address 0 on, and nothing behind it.
struct Memory<'a>(&'a [u8]);

impl PhysicalMemory for Memory<'_> {
    fn read(&self, address: PhysAddr, into: &mut [u8]) -> bool {
        let Ok(start) = usize::try_from(address.0) else { return false };
        let end = start.checked_add(into.len());
        let Some(bytes) = end.and_then(|end| self.0.get(start..end)) else { return false };
        into.copy_from_slice(bytes);
        true
    }
}

fuzz_target!(|bytes: &[u8]| {
    let memory = Memory(bytes);
    let image = PhysRange::between(PhysAddr(0x10_0000), PhysAddr(0x18_0000));
    if let Ok(info) = start_info::parse(&memory, PhysAddr(0), image, PhysAddr(1 << 39)) {
        let mut last = 1;
        for region in &info.memory {
            assert!(last <= region.start().0 && region.start() < region.end());
            assert!(!region.overlaps(image));
            last = region.end().0;
        }
    }
    if let Some(tables) = acpi::Tables::find(&memory, PhysAddr(0)) {
        tables.scan(&memory, drop);
    }
    if let Ok(line) = core::str::from_utf8(bytes) {
        virtio_mmio::on_command_line(line).for_each(drop);
    }
});
