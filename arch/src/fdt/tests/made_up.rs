//! Trees that QEMU does not make: other cell sizes, other machines, nonsense.

use vm_fdt::{FdtReserveEntry, FdtWriter};

use super::{
    super::{Conduit, Discovered, FdtError, Gic, TimerIrq, Trigger, discover, total_size},
    aligned, memory, node, tree, tree_bytes,
};
use crate::{Hypervisor, Irq, PhysAddr, PhysRange, UartKind};

fn range(start: u64, size: u64) -> PhysRange {
    PhysRange::new(PhysAddr(start), size).unwrap()
}

/// A tree with exactly these memory nodes.
fn with_memory(nodes: &[&[u64]]) -> Result<Discovered, FdtError> {
    discover(aligned(&tree_bytes(FdtWriter::new().unwrap(), |writer| {
        for (index, reg) in nodes.iter().enumerate() {
            memory(writer, &format!("memory@{index}"), reg);
        }
    })))
}

#[test]
fn a_tree_without_memory_is_refused() {
    assert_eq!(with_memory(&[]).unwrap_err(), FdtError::NoMemory);
    assert_eq!(with_memory(&[&[0x4000_0000, 0]]).unwrap_err(), FdtError::NoMemory);
}

#[test]
fn memory_may_come_in_several_nodes_and_entries() {
    let found = with_memory(&[&[0x4000_0000, 0x1000, 0x8000_0000, 0x2000], &[0, 0x3000]]).unwrap();
    let expected = [range(0x4000_0000, 0x1000), range(0x8000_0000, 0x2000), range(0, 0x3000)];
    assert_eq!(found.memory, expected);
    assert!(found.warnings.is_empty());
}

#[test]
fn bad_memory_is_left_out_with_a_warning() {
    let found = with_memory(&[&[0x1000, 0x1000, 0x1800, 0x1000, u64::MAX - 10, 100]]).unwrap();
    assert_eq!(found.memory, [range(0x1000, 0x1000)]);
    assert_eq!(found.warnings.len(), 2);
}

#[test]
fn too_much_memory_is_left_out_with_a_warning() {
    let reg: Vec<u64> = (0..40).flat_map(|index| [index * 0x2000, 0x1000]).collect();
    let found = with_memory(&[&reg]).unwrap();
    assert_eq!(found.memory.len(), 32);
    assert_eq!(found.warnings.len(), 1);
}

#[test]
fn cells_may_be_one_or_two() {
    for (address, size, reg) in [
        (1, 1, &[0x4000_0000, 0x1000][..]),
        (2, 1, &[1, 0x4000_0000, 0x1000]),
        (1, 2, &[0x4000_0000, 0, 0x1000]),
    ] {
        let mut writer = FdtWriter::new().unwrap();
        node(&mut writer, "", |writer| {
            writer.property_u32("#address-cells", address).unwrap();
            writer.property_u32("#size-cells", size).unwrap();
            node(writer, "memory", |writer| {
                writer.property_string("device_type", "memory").unwrap();
                writer.property_array_u32("reg", reg).unwrap();
            });
        });
        let found = discover(aligned(&writer.finish().unwrap())).unwrap();
        let start = if address == 2 { 0x1_4000_0000 } else { 0x4000_0000 };
        assert_eq!(found.memory, [range(start, 0x1000)]);
    }
}

#[test]
fn reserved_memory_comes_from_both_places() {
    let reservation = FdtReserveEntry::new(0x4100_0000, 0x1000).unwrap();
    let writer = FdtWriter::new_with_mem_reserv(&[reservation]).unwrap();
    let found = discover(aligned(&tree_bytes(writer, |writer| {
        memory(writer, "memory@40000000", &[0x4000_0000, 0x800_0000]);
        node(writer, "reserved-memory", |writer| {
            writer.property_u32("#address-cells", 1).unwrap();
            writer.property_u32("#size-cells", 1).unwrap();
            writer.property_null("ranges").unwrap();
            for (name, status) in [("a", "okay"), ("b", "disabled")] {
                node(writer, name, |writer| {
                    writer.property_string("status", status).unwrap();
                    writer.property_array_u32("reg", &[0x4200_0000, 0x2000]).unwrap();
                });
            }
            node(writer, "dynamic", |writer| writer.property_u32("size", 4096).unwrap());
        });
    })))
    .unwrap();
    assert_eq!(found.reserved, [range(0x4100_0000, 0x1000), range(0x4200_0000, 0x2000)]);
}

#[test]
fn reservations_without_an_end_are_not_sought_in_the_next_block() {
    let mut bytes = tree(|_| {}).to_vec();
    bytes[40..56].copy_from_slice([0x4100_0000_u64, 0x1000].map(u64::to_be_bytes).as_flattened());
    let found = discover(aligned(&bytes)).unwrap();
    assert_eq!(found.reserved, [range(0x4100_0000, 0x1000)]);
    assert_eq!(found.warnings.len(), 1);
}

#[test]
fn disabled_and_translated_devices_are_left_out() {
    let device = |writer: &mut FdtWriter| {
        writer.property_string("compatible", "virtio,mmio").unwrap();
        writer.property_array_u64("reg", &[0xa00_0000, 0x200]).unwrap();
        writer.property_array_u32("interrupts", &[0, 16, 4]).unwrap();
    };
    let bus = |writer: &mut FdtWriter, name: &str, ranges: Option<&[u64]>| {
        node(writer, name, |writer| {
            writer.property_u32("#address-cells", 2).unwrap();
            writer.property_u32("#size-cells", 2).unwrap();
            if let Some(ranges) = ranges {
                writer.property_array_u64("ranges", ranges).unwrap();
            }
            node(writer, "virtio", device);
        });
    };
    let found = discover(tree(|writer| {
        node(writer, "virtio@1", |writer| {
            device(writer);
            writer.property_string("status", "disabled").unwrap();
        });
        bus(writer, "no-ranges", None);
        bus(writer, "translated", Some(&[0, 0x1_0000_0000, 0x1_0000_0000]));
        assert!(discover(tree(|writer| bus(writer, "same", Some(&[])))).unwrap().virtio.len() == 1);
    }))
    .unwrap();
    assert!(found.virtio.is_empty());
}

#[test]
fn stdout_path_chooses_the_uart() {
    let uart = |writer: &mut FdtWriter, name: &str, address: u64| {
        node(writer, name, |writer| {
            writer.property("compatible", b"arm,pl011\0arm,primecell\0").unwrap();
            writer.property_array_u64("reg", &[address, 0x1000]).unwrap();
        });
    };
    let found = discover(tree(|writer| {
        uart(writer, "serial@9040000", 0x904_0000);
        uart(writer, "serial@9000000", 0x900_0000);
        node(writer, "chosen", |writer| {
            writer.property_string("stdout-path", "/serial@9000000:115200n8").unwrap();
        });
    }))
    .unwrap();
    assert_eq!(found.uart.map(|uart| uart.kind), Some(UartKind::Pl011(PhysAddr(0x900_0000))));
}

#[test]
fn a_generic_uart_is_no_pl011() {
    let found = discover(tree(|writer| {
        node(writer, "sbsa-uart@22000000", |writer| {
            writer.property_string("compatible", "arm,sbsa-uart").unwrap();
            writer.property_array_u64("reg", &[0x2200_0000, 0x1000]).unwrap();
        });
    }))
    .unwrap();
    assert_eq!(found.uart.map(|uart| uart.kind), Some(UartKind::Sbsa(PhysAddr(0x2200_0000))));
}

#[test]
fn boot_arguments_end_at_the_first_byte_that_is_not_text() {
    let line = |bytes: &[u8]| {
        let found = discover(tree(|writer| {
            node(writer, "chosen", |writer| writer.property("bootargs", bytes).unwrap());
        }))
        .unwrap();
        (found.command_line, found.warnings.len())
    };
    assert_eq!(line(b"ip=10.0.0.2/24\0"), ("ip=10.0.0.2/24", 0));
    assert_eq!(line(b"no terminator"), ("no terminator", 0));
    assert_eq!(line(b"a=\xff b\0"), ("a=", 1));
    assert_eq!(line(b""), ("", 0));
}

#[test]
fn the_strong_seed_wins() {
    let seed = |strong: &[u8]| {
        let found = discover(tree(|writer| {
            node(writer, "chosen", |writer| {
                writer.property_u64("kaslr-seed", 7).unwrap();
                writer.property("rng-seed", strong).unwrap();
            });
        }));
        found.unwrap().seed
    };
    assert_eq!(seed(&[9; 128]), [9; 64]);
    assert_eq!(seed(&[]), 7_u64.to_be_bytes());
}

/// A domU of Xen 4.17, as libxl's make_* functions in libxl_arm.c write it.
#[test]
fn a_xen_guest_finds_its_hypervisor() {
    let found = discover(tree(|writer| {
        node(writer, "chosen", |writer| {
            writer.property_string("bootargs", "hello").unwrap();
            writer.property("rng-seed", &[5; 128]).unwrap();
        });
        node(writer, "psci", |writer| {
            writer.property("compatible", b"arm,psci-1.0\0arm,psci-0.2\0arm,psci\0").unwrap();
            writer.property_string("method", "hvc").unwrap();
        });
        node(writer, "interrupt-controller@3001000", |writer| {
            writer.property("compatible", b"arm,cortex-a15-gic\0arm,cortex-a9-gic\0").unwrap();
            writer.property_u32("#interrupt-cells", 3).unwrap();
            writer.property_array_u64("reg", &[0x300_1000, 0x1000, 0x300_2000, 0x2000]).unwrap();
        });
        node(writer, "timer", |writer| {
            writer.property_string("compatible", "arm,armv7-timer").unwrap();
            let (secure, physical, virt) = ([1, 13, 0xf08], [1, 14, 0xf08], [1, 11, 0xf08]);
            writer.property_array_u32("interrupts", &[secure, physical, virt].concat()).unwrap();
        });
        node(writer, "hypervisor", |writer| {
            writer.property("compatible", b"xen,xen-4.17\0xen,xen\0").unwrap();
            writer.property_array_u64("reg", &[0x3800_0000, 0x100_0000]).unwrap();
            writer.property_array_u32("interrupts", &[1, 15, 0xf08]).unwrap();
        });
    }))
    .unwrap();
    assert_eq!(found.hypervisor, Hypervisor::Xen);
    assert_eq!(found.xen_grant_region, Some(range(0x3800_0000, 0x100_0000)));
    assert_eq!(found.xen_event, Some(TimerIrq { irq: Irq(31), trigger: Trigger::Level }));
    assert_eq!(found.virtual_timer.map(|timer| timer.irq), Some(Irq(27)));
    assert_eq!(found.psci, Some(Conduit::Hvc));
    assert_eq!(found.seed, [5; 64]);
    let (distributor, cpu_interface) = (range(0x300_1000, 0x1000), range(0x300_2000, 0x2000));
    assert_eq!(found.gic, Some(Gic::V2 { distributor, cpu_interface }));
    assert!(found.warnings.is_empty());
}

#[test]
fn registers_that_are_no_words_are_left_out() {
    let found = |compatible: &str, reg: [u64; 2]| {
        discover(tree(|writer| {
            node(writer, "device", |writer| {
                writer.property_string("compatible", compatible).unwrap();
                writer.property_array_u64("reg", &reg).unwrap();
            });
        }))
        .unwrap()
    };
    assert_eq!(found("arm,pl031", [0x901_0ffc, 4]).rtc, Some(range(0x901_0ffc, 4)));
    for reg in [[0x901_0ffe, 1], [0x901_0ffe, 0x1000], [0x901_0000, 3], [0x901_0000, 0]] {
        let found = found("arm,pl031", reg);
        assert_eq!((found.rtc, found.warnings.len()), (None, 1), "{reg:x?}");
    }
    for uart in ["arm,pl011", "arm,sbsa-uart"] {
        assert!(found(uart, [0x900_0004, 1]).uart.is_some());
        let found = found(uart, [0x900_0002, 0x1000]);
        assert_eq!((found.uart, found.warnings.len()), (None, 1));
    }
    assert!(found("xen,xen", [0x3800_0000, 0x100_0000]).xen_grant_region.is_some());
    let found = found("xen,xen", [0x3800_0004, 0x100_0000]);
    assert_eq!((found.xen_grant_region, found.warnings.len()), (None, 1));
}

#[test]
fn the_timer_may_have_a_frequency() {
    let frequency = |value: &[u8]| {
        let found = discover(tree(|writer| {
            node(writer, "timer", |writer| {
                writer.property_string("compatible", "arm,armv8-timer").unwrap();
                writer.property("clock-frequency", value).unwrap();
            });
            // That of another device.
            node(writer, "clock", |writer| {
                writer.property_string("compatible", "fixed-clock").unwrap();
                writer.property_u32("clock-frequency", 1).unwrap();
            });
        }));
        found.unwrap().timer_frequency
    };
    assert_eq!(frequency(&24_000_000_u32.to_be_bytes()), Some(24_000_000));
    for nonsense in [&[][..], &[0; 4], &[1; 3], &[1; 8]] {
        assert_eq!(frequency(nonsense), None);
    }
}

#[test]
fn devices_that_make_no_sense_are_left_out_with_a_warning() {
    let found = discover(tree(|writer| {
        node(writer, "virtio@1", |writer| {
            writer.property_string("compatible", "virtio,mmio").unwrap();
            writer.property_array_u64("reg", &[u64::MAX, 0x200]).unwrap();
            writer.property_array_u32("interrupts", &[0, 16, 1]).unwrap();
        });
        node(writer, "gic", |writer| {
            writer.property_string("compatible", "arm,gic-v3").unwrap();
            writer.property_array_u64("reg", &[0x1000, 0x1000]).unwrap();
        });
        node(writer, "psci", |writer| {
            writer.property_string("compatible", "arm,psci-0.2").unwrap();
            writer.property_string("method", "pray").unwrap();
        });
    }))
    .unwrap();
    assert!(found.virtio.is_empty() && found.gic.is_none() && found.psci.is_none());
    assert_eq!(found.warnings.len(), 3);
}

#[test]
fn headers_are_checked() {
    let tree = tree(|_| {});
    assert_eq!(total_size(tree.first_chunk().unwrap()), Ok(tree.len()));
    assert_eq!(total_size(b"\x7fELF\0\0\0\0"), Err(FdtError::NotATree));
    assert_eq!(total_size(b"\xd0\x0d\xfe\xed\xff\xff\xff\xff"), Err(FdtError::BadSize));
    let error = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut copy = tree.to_vec();
        change(&mut copy);
        discover(aligned(&copy)).unwrap_err()
    };
    let set = |word: usize, value: u32| {
        error(&|tree| tree[word * 4..word * 4 + 4].copy_from_slice(&value.to_be_bytes()))
    };
    assert_eq!(error(&|tree| tree.truncate(tree.len() - 1)), FdtError::Truncated);
    assert_eq!(error(&|tree| tree.truncate(3)), FdtError::Truncated);
    assert_eq!(set(0, 0), FdtError::NotATree);
    assert_eq!(set(2, u32::MAX), FdtError::BadHeader);
    assert_eq!(set(3, u32::MAX - 2), FdtError::BadHeader);
    assert_eq!(set(5, 16), FdtError::UnsupportedVersion);
    assert_eq!(set(9, 4), FdtError::BadStructure);
    assert_eq!(set(9, 5), FdtError::BadHeader);
    let misaligned = aligned(&[&[0], tree].concat());
    assert_eq!(discover(&misaligned[1..]).unwrap_err(), FdtError::Misaligned);
}
