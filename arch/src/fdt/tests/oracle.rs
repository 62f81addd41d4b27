//! The same trees, read by the independent crate `dtoolkit`.

use dtoolkit::{Node as _, Property as _, fdt::FdtNode};

use super::{
    super::{
        blocks::locate,
        discover,
        names::{Name, Properties},
        nodes::{Node, Nodes},
    },
    aligned,
    damaged::{Numbers, mutant},
    qemu::{MACHINES, load},
};

const NAMES: [(&str, Name); 16] = [
    ("#address-cells", Name::AddressCells),
    ("#interrupt-cells", Name::InterruptCells),
    ("#size-cells", Name::SizeCells),
    ("bootargs", Name::BootArguments),
    ("compatible", Name::Compatible),
    ("device_type", Name::DeviceType),
    ("interrupts", Name::Interrupts),
    ("kaslr-seed", Name::KaslrSeed),
    ("linux,initrd-end", Name::InitrdEnd),
    ("linux,initrd-start", Name::InitrdStart),
    ("method", Name::Method),
    ("ranges", Name::Ranges),
    ("reg", Name::Reg),
    ("rng-seed", Name::RngSeed),
    ("status", Name::Status),
    ("stdout-path", Name::StdoutPath),
];

type Seen = (usize, Vec<u8>, Vec<Option<Vec<u8>>>);

fn ours(tree: &'static [u8]) -> Option<Vec<Seen>> {
    let values = |properties: &Properties| {
        NAMES.iter().map(|(_, name)| properties.find(*name).map(<[u8]>::to_vec)).collect()
    };
    let mut nodes = Nodes::new(&locate(tree).ok()?);
    let (mut node, mut seen) = (Node::default(), Vec::new());
    while nodes.next(&mut node).ok()? {
        seen.push((node.depth, node.name.to_vec(), values(&node.properties)));
    }
    Some(seen)
}

fn theirs(node: FdtNode<'_>, depth: usize, seen: &mut Vec<Seen>) {
    let value = |(name, _): &(&str, Name)| {
        let last = node.properties().filter(|property| property.name() == *name).last();
        last.map(|property| property.value().to_vec())
    };
    seen.push((depth, node.name().as_bytes().to_vec(), NAMES.iter().map(value).collect()));
    for child in node.children() {
        theirs(child, depth + 1, seen);
    }
}

#[test]
fn dtoolkit_reads_the_same_nodes() {
    let mut numbers = Numbers(0x6f72_6163_6c65);
    let mut compared = 0;
    for machine in MACHINES {
        let tree = load(machine.name);
        for round in 0..300 {
            let tree = if round == 0 { tree.clone() } else { mutant(&tree, &mut numbers) };
            let tree = aligned(&tree);
            let (Some(ours), Ok(fdt)) = (ours(tree), dtoolkit::fdt::Fdt::new(tree)) else {
                assert_ne!(round, 0, "{}", machine.name);
                continue;
            };
            let mut seen = Vec::new();
            theirs(fdt.root(), 0, &mut seen);
            assert_eq!(ours, seen, "{}, round {round}", machine.name);
            compared += 1;
        }
    }
    assert!(compared > 300, "only {compared} of 2,700 trees were good for both");
}

#[test]
fn dtoolkit_finds_the_same_machine() {
    for machine in MACHINES {
        let tree = aligned(&load(machine.name));
        let (found, fdt) = (discover(tree).unwrap(), dtoolkit::fdt::Fdt::new(tree).unwrap());
        let range = |node: FdtNode<'_>| {
            let reg = node.reg().unwrap().unwrap().next().unwrap();
            (reg.address::<u64>().unwrap(), reg.size::<u64>().unwrap())
        };
        let nodes = |start: &str| {
            let all = fdt.root().children().filter(|node| node.name().starts_with(start));
            all.map(range).collect::<Vec<_>>()
        };
        let memory: Vec<_> = found.memory.iter().map(|r| (r.start().0, r.size())).collect();
        assert_eq!(memory, nodes("memory@"), "{}", machine.name);
        let slots = found.virtio.iter().map(|(slot, _)| slot.registers);
        let slots: Vec<_> = slots.map(|r| (r.start().0, r.size())).collect();
        assert_eq!(slots, nodes("virtio_mmio@"), "{}", machine.name);
        let chosen = fdt.chosen().unwrap();
        assert_eq!(found.command_line, chosen.bootargs().unwrap().unwrap_or(""));
    }
}
