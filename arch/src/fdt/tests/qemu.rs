//! The trees that QEMU 7.2 makes for its `virt` machines, kept in `trees/` without their padding.

use std::{fs, path::PathBuf, process::Command};

use super::{
    super::{Conduit, Discovered, Gic, Trigger, discover},
    aligned,
};
use crate::{Hypervisor, Irq, PhysAddr, PhysRange, Uart, UartKind};

/// A tree's name and how QEMU is started for it.
pub(super) struct Machine {
    pub name: &'static str,
    program: &'static str,
    options: &'static str,
}

const A64: &str = "qemu-system-aarch64";
const V7: &str = "qemu-system-arm";

pub(super) const MACHINES: [Machine; 9] = [
    Machine {
        name: "a64-gic2",
        program: A64,
        options: "-M virt,gic-version=2 -cpu cortex-a57 -m 128M",
    },
    Machine {
        name: "a64-gic3",
        program: A64,
        options: "-M virt,gic-version=3 -cpu max -m 1G -smp 4",
    },
    Machine {
        name: "a64-el2-8g",
        program: A64,
        options: "-M virt,gic-version=3,virtualization=on -cpu cortex-a72 -m 8G",
    },
    Machine {
        name: "a64-secure",
        program: A64,
        options: "-M virt,secure=on -cpu cortex-a57 -m 64M",
    },
    Machine {
        name: "a64-numa",
        program: A64,
        options: "-M virt -cpu cortex-a57 -m 512M -smp 2 \
                  -object memory-backend-ram,id=a,size=256M -object memory-backend-ram,id=b,size=256M \
                  -numa node,cpus=0,memdev=a -numa node,cpus=1,memdev=b",
    },
    Machine {
        name: "a64-initrd",
        program: A64,
        options: "-M virt -cpu cortex-a57 -m 256M -kernel KERNEL -initrd INITRD -append hello=world",
    },
    Machine { name: "v7-gic2", program: V7, options: "-M virt -cpu cortex-a15 -m 128M" },
    Machine {
        name: "v7-gic3",
        program: V7,
        options: "-M virt,gic-version=3 -cpu cortex-a15 -m 2G -smp 2",
    },
    Machine {
        name: "v7-el2",
        program: V7,
        options: "-M virt,virtualization=on -cpu cortex-a7 -m 16M -kernel KERNEL -initrd INITRD -append a=b",
    },
];

fn path(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("src/fdt/tests/trees")
        .join(format!("{name}.dtb"))
}

pub(super) fn load(name: &str) -> Vec<u8> {
    fs::read(path(name)).unwrap()
}

fn discovered(name: &str) -> Discovered {
    let found = discover(aligned(&load(name))).unwrap();
    assert!(found.warnings.is_empty(), "{name}: {:?}", found.warnings);
    found
}

fn range(start: u64, size: u64) -> PhysRange {
    PhysRange::new(PhysAddr(start), size).unwrap()
}

#[test]
fn every_machine_has_what_a_guest_needs() {
    for machine in MACHINES {
        let found = discovered(machine.name);
        let start = found.memory.iter().map(|range| range.start()).min();
        assert_eq!(start, Some(PhysAddr(0x4000_0000)), "{}", machine.name);
        assert_eq!(found.virtio.len(), 32, "{}", machine.name);
        let (slot, trigger) = found.virtio[0];
        assert_eq!(slot.registers, range(0xa00_0000, 0x200));
        assert_eq!((slot.irq, trigger), (Irq(48), Trigger::Edge));
        assert_eq!(
            found.uart,
            Some(Uart { kind: UartKind::Pl011(PhysAddr(0x900_0000)), irq: Some(Irq(33)) })
        );
        assert_eq!(found.rtc, Some(range(0x901_0000, 0x1000)));
        assert_eq!(found.virtual_timer.map(|timer| timer.irq), Some(Irq(27)));
        assert_eq!(found.hypervisor, Hypervisor::Unknown);
        assert!(found.seed.len() >= 8);
    }
}

#[test]
fn both_kinds_of_gic_are_found() {
    let v2 = Gic::V2 {
        distributor: range(0x800_0000, 0x1_0000),
        cpu_interface: range(0x801_0000, 0x1_0000),
    };
    let v3 = Gic::V3 {
        distributor: range(0x800_0000, 0x1_0000),
        redistributor: range(0x80a_0000, 0xf6_0000),
    };
    for (name, gic) in [("a64-gic2", v2), ("a64-gic3", v3), ("v7-gic2", v2), ("v7-gic3", v3)] {
        assert_eq!(discovered(name).gic, Some(gic), "{name}");
    }
}

#[test]
fn psci_is_called_as_the_tree_says() {
    assert_eq!(discovered("a64-gic2").psci, Some(Conduit::Hvc));
    assert_eq!(discovered("a64-el2-8g").psci, Some(Conduit::Smc));
    assert_eq!(discovered("v7-el2").psci, Some(Conduit::Smc));
    // With secure=on QEMU leaves PSCI to the firmware.
    assert_eq!(discovered("a64-secure").psci, None);
}

#[test]
fn memory_nodes_add_up() {
    let sizes =
        |name| discovered(name).memory.iter().map(|range| range.size() >> 20).collect::<Vec<_>>();
    assert_eq!(sizes("a64-el2-8g"), [8192]);
    assert_eq!(sizes("a64-numa"), [256, 256]);
    assert_eq!(sizes("v7-gic3"), [2048]);
}

#[test]
fn chosen_gives_initrd_and_command_line() {
    let found = discovered("a64-initrd");
    assert_eq!(found.command_line, "hello=world");
    assert_eq!(found.initrd.map(PhysRange::size), Some(5000));
    assert_eq!(found.seed.len(), 32);
    assert_eq!(discovered("a64-gic2").command_line, "");
    assert_eq!(discovered("a64-gic2").initrd, None);
    assert_eq!(discovered("v7-el2").command_line, "a=b");
}

/// Makes `trees/` anew: `cargo test -p mayfly-arch -- --ignored remake_the_trees`.
#[test]
#[ignore = "needs QEMU, and every run makes new random seeds"]
fn remake_the_trees() {
    let scratch = std::env::temp_dir().join(format!("mayfly-trees-{}", std::process::id()));
    fs::create_dir_all(&scratch).unwrap();
    let (kernel, initrd, dump) =
        (scratch.join("kernel"), scratch.join("initrd"), scratch.join("dump"));
    fs::write(&kernel, [0; 4096]).unwrap();
    fs::write(&initrd, [0; 5000]).unwrap();
    for machine in MACHINES {
        let options = machine.options.split_whitespace().map(|option| match option {
            "KERNEL" => kernel.display().to_string(),
            "INITRD" => initrd.display().to_string(),
            option if option.starts_with("virt") => format!("{option},dumpdtb={}", dump.display()),
            option => option.into(),
        });
        let status =
            Command::new(machine.program).args(options).args(["-display", "none"]).status();
        assert!(status.unwrap().success(), "{}", machine.name);
        fs::write(path(machine.name), trimmed(fs::read(&dump).unwrap())).unwrap();
    }
    fs::remove_dir_all(scratch).unwrap();
}

/// The tree without the padding behind its last block, which is the strings.
fn trimmed(mut tree: Vec<u8>) -> Vec<u8> {
    let word =
        |index: usize| u32::from_be_bytes(tree[index * 4..index * 4 + 4].try_into().unwrap());
    let (strings, strings_size) = (word(3), word(8));
    let end = (strings + strings_size).next_multiple_of(4);
    tree.truncate(end as usize);
    tree[4..8].copy_from_slice(&end.to_be_bytes());
    tree
}
