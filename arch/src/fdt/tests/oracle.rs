//! The same trees, read by the independent crate `dtoolkit`.
//!
//! Both must see the same nodes, or find fault with the tree. Where one takes what the other refuses, it
//! must be for one of a few reasons.

use dtoolkit::{
    Node as _, Property as _,
    error::FdtErrorKind,
    fdt::{Fdt, FdtNode},
};
use vm_fdt::FdtWriter;

use super::{
    super::{
        FdtError,
        blocks::locate,
        discover,
        names::{Name, Properties},
        nodes::{MAX_DEPTH, Node, Nodes},
    },
    aligned,
    damaged::{Numbers, mutant},
    grown::grow,
    memory,
    mended::{
        RESERVATIONS, STRUCTURE_SIZE, add_to_word, cut_open_end, lengthen_structure,
        move_structure_to_end, nest, open_end, remove_nops_outside, replace,
    },
    node,
    qemu::{MACHINES, load},
    tree_bytes,
};

pub(super) const NAMES: [(&str, Name); 16] = [
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

/// A node: how many it lies in, its name, the values of the properties of [`NAMES`].
pub(super) type Seen = (usize, Vec<u8>, Vec<Option<Vec<u8>>>);

/// Why one of the two takes a tree that the other refuses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reason {
    // dtoolkit refuses, we do not.
    //
    /// A name has letters that the specification does not have, is not UTF-8, or is longer than 31
    /// letters. We compare names with those that we know, and take any other as one that we do not
    /// know; one that was damaged is no reason not to boot.
    Spelling,
    /// The blocks stand in another order than the specification has them ("should", 5.1), or in each
    /// other. We read each by itself, as libfdt does, and none is written.
    Order,
    /// The reservation block is not aligned to 8 bytes. We read its bytes.
    Unaligned,
    /// The reservation block does not end before the structure block. We take its entries up to the
    /// next block and warn: memory that is set aside for nothing is no reason not to boot.
    Endless,
    /// There is a NOP before the root or behind it. The specification has it ignored wherever there
    /// is a token (5.4.1).
    NopOutside,

    // We refuse, dtoolkit does not.
    //
    /// The structure block goes on beyond the size in the header, or that is no number of whole words.
    /// The specification has all of it there (5.2, 5.4); dtoolkit reads on to the end of the tree.
    Size,
    /// The strings block does not end with a zero byte (5.5). dtoolkit looks at the names that are
    /// used only; we rely on that byte wherever we look for the end of one.
    OpenEnd,
    /// Nodes lie in each other deeper than we have places for. dtoolkit has no limit.
    Depth,
}

fn ours(tree: &[u8]) -> Result<Vec<Seen>, FdtError> {
    let values = |properties: &Properties| {
        NAMES.iter().map(|(_, name)| properties.find(*name).map(<[u8]>::to_vec)).collect()
    };
    let mut nodes = Nodes::new(&locate(aligned(tree))?);
    let (mut node, mut seen) = (Node::default(), Vec::new());
    while nodes.next(&mut node)? {
        seen.push((node.depth, node.name.to_vec(), values(&node.properties)));
    }
    Ok(seen)
}

fn theirs(tree: &[u8]) -> Result<Vec<Seen>, FdtErrorKind> {
    // It takes no more bytes than the tree has; we take no notice of others.
    let size = tree.get(4..8).map(|size| u32::from_be_bytes(size.try_into().unwrap()) as usize);
    let tree = size.and_then(|size| tree.get(..size)).unwrap_or(tree);
    let fdt = Fdt::new(tree).map_err(|error| error.kind)?;
    let mut seen = Vec::new();
    visit(fdt.root(), 0, &mut seen);
    Ok(seen)
}

fn visit(node: FdtNode<'_>, depth: usize, seen: &mut Vec<Seen>) {
    let value = |(name, _): &(&str, Name)| {
        let last = node.properties().filter(|property| property.name() == *name).last();
        last.map(|property| property.value().to_vec())
    };
    seen.push((depth, node.name().as_bytes().to_vec(), NAMES.iter().map(value).collect()));
    for child in node.children() {
        visit(child, depth + 1, seen);
    }
}

/// Has both read a tree. Returns why they differ, if they may: with what they differ about mended, they
/// must see the same. `Err` is any other difference.
fn compare(tree: &[u8]) -> Result<Vec<Reason>, String> {
    match (ours(tree), theirs(tree)) {
        (Ok(ours), Ok(theirs)) if ours == theirs => Ok(vec![]),
        (Err(_), Err(_)) => Ok(vec![]),
        (Ok(ours), Err(error)) => refused_by_them(tree, &ours, &error),
        (Err(error), Ok(theirs)) => refused_by_us(tree, error, &theirs),
        (Ok(ours), Ok(theirs)) => Err(format!("{ours:?} instead of {theirs:?}")),
    }
}

fn refused_by_them(
    tree: &[u8],
    ours: &[Seen],
    error: &FdtErrorKind,
) -> Result<Vec<Reason>, String> {
    if let Some(reason) = reason_of(error) {
        return Ok(vec![reason]);
    }
    let mut tree = tree.to_vec();
    if !remove_nops_outside(&mut tree) {
        return Err(format!("dtoolkit says {error:?}"));
    }
    match theirs(&tree) {
        Ok(theirs) if theirs == ours => Ok(vec![Reason::NopOutside]),
        Ok(theirs) => Err(format!("{ours:?} instead of {theirs:?}")),
        Err(error) => match reason_of(&error) {
            Some(reason) => Ok(vec![Reason::NopOutside, reason]),
            None => Err(format!("without NOPs outside, dtoolkit says {error:?}")),
        },
    }
}

/// The reason for which dtoolkit refuses what we take, where its error says it.
fn reason_of(error: &FdtErrorKind) -> Option<Reason> {
    Some(match error {
        FdtErrorKind::InvalidNodeName
        | FdtErrorKind::InvalidPropertyName
        | FdtErrorKind::InvalidString => Reason::Spelling,
        FdtErrorKind::InvalidHeader(
            "dt_struct not after memrsvmap" | "strings block not after struct block",
        ) => Reason::Order,
        FdtErrorKind::InvalidHeader("memrsvmap is not 8-byte aligned") => Reason::Unaligned,
        FdtErrorKind::MemReserveNotTerminated => Reason::Endless,
        _ => return None,
    })
}

fn refused_by_us(tree: &[u8], error: FdtError, theirs: &[Seen]) -> Result<Vec<Reason>, String> {
    let (mut tree, mut reasons) = (tree.to_vec(), Vec::new());
    if cut_open_end(&mut tree) {
        reasons.push(Reason::OpenEnd);
    }
    let is_cut_off = |error| error != FdtError::TooDeep;
    if ours(&tree).is_err_and(is_cut_off) && lengthen_structure(&mut tree) {
        reasons.push(Reason::Size);
    }
    match ours(&tree) {
        Ok(ours) if ours == theirs => Ok(reasons),
        Err(FdtError::TooDeep) if theirs.iter().any(|(depth, ..)| *depth >= MAX_DEPTH) => {
            reasons.push(Reason::Depth);
            Ok(reasons)
        }
        other => Err(format!("we say {error:?}, and when it is mended {other:?}")),
    }
}

/// Compares what both see of `rounds` trees, which `tree` makes. Returns how many of them both take.
fn compare_many(rounds: usize, mut tree: impl FnMut(usize) -> Vec<u8>) -> usize {
    let is_good = |round| {
        let tree = tree(round);
        let compared = compare(&tree);
        assert!(compared.is_ok(), "round {round}: {compared:?}");
        ours(&tree).is_ok() && theirs(&tree).is_ok()
    };
    (0..rounds).map(is_good).filter(|&is_good| is_good).count()
}

#[test]
fn dtoolkit_reads_the_same_nodes_of_trees_from_qemu() {
    for machine in MACHINES {
        let tree = load(machine.name);
        assert_eq!(compare(&tree), Ok(vec![]), "{}", machine.name);
        assert!(ours(&tree).is_ok(), "{}", machine.name);
    }
}

#[test]
fn trees_that_keep_the_rules_are_read_as_they_were_made() {
    let mut numbers = Numbers(0x6772_6f77);
    for round in 0..500 {
        let tree = grow(&mut numbers);
        assert_eq!(ours(&tree.bytes).as_ref(), Ok(&tree.nodes), "round {round}");
        let differences = if tree.has_nops_outside { vec![Reason::NopOutside] } else { vec![] };
        assert_eq!(compare(&tree.bytes), Ok(differences), "round {round}");
    }
}

#[test]
fn damaged_trees_are_read_alike() {
    let mut numbers = Numbers(0x6f72_6163_6c65);
    let from_qemu: Vec<_> = MACHINES.iter().map(|machine| load(machine.name)).collect();
    let good =
        compare_many(3_000, |round| mutant(&from_qemu[round % from_qemu.len()], &mut numbers));
    assert!(good > 200, "only {good} of 3,000 trees were good for both");
    let good = compare_many(10_000, |_| {
        let tree = grow(&mut numbers).bytes;
        mutant(&tree, &mut numbers)
    });
    assert!(good > 500, "only {good} of 10,000 trees were good for both");
}

#[test]
fn each_reason_is_one() {
    let tree = tree_bytes(FdtWriter::new().unwrap(), |writer| {
        memory(writer, "memory@40000000", &[0x4000_0000, 0x800_0000]);
    });
    assert_eq!(compare(&tree), Ok(vec![]));
    let differs = |change: fn(&mut Vec<u8>)| {
        let mut tree = tree.clone();
        change(&mut tree);
        compare(&tree)
    };
    assert_eq!(differs(|tree| replace(tree, b"memory@", b"mem?ry@")), Ok(vec![Reason::Spelling]));
    assert_eq!(differs(|tree| replace(tree, b"_type\0", b" type\0")), Ok(vec![Reason::Spelling]));
    assert_eq!(
        differs(|tree| replace(tree, b"_type\0", b"\xfftype\0")),
        Ok(vec![Reason::Spelling])
    );
    assert_eq!(differs(move_structure_to_end), Ok(vec![Reason::Order]));
    assert_eq!(differs(|tree| add_to_word(tree, RESERVATIONS, 4)), Ok(vec![Reason::Unaligned]));
    assert_eq!(differs(|tree| tree[40] = 1), Ok(vec![Reason::Endless]));
    assert_eq!(differs(|tree| add_to_word(tree, STRUCTURE_SIZE, -4)), Ok(vec![Reason::Size]));
    assert_eq!(differs(|tree| add_to_word(tree, STRUCTURE_SIZE, -1)), Ok(vec![Reason::Size]));
    assert_eq!(differs(open_end), Ok(vec![Reason::OpenEnd]));
    let deep = |depth| tree_bytes(FdtWriter::new().unwrap(), |writer| nest(writer, depth));
    assert_eq!(compare(&deep(MAX_DEPTH - 1)), Ok(vec![]));
    assert_eq!(compare(&deep(MAX_DEPTH)), Ok(vec![Reason::Depth]));
}

#[test]
fn a_second_root_is_refused_by_both() {
    let mut writer = FdtWriter::new().unwrap();
    (0..2).for_each(|_| node(&mut writer, "", |_| {}));
    let tree = writer.finish().unwrap();
    assert!(ours(&tree).is_err() && theirs(&tree).is_err());
}

#[test]
fn what_has_no_reason_is_a_difference() {
    let tree = load("v7-gic2");
    let (ours, mut theirs) = (ours(&tree).unwrap(), theirs(&tree).unwrap());
    theirs[1].1.push(b'x');
    assert!(refused_by_us(&tree, FdtError::BadStructure, &theirs).is_err());
    assert!(refused_by_them(&tree, &ours, &FdtErrorKind::InvalidLength).is_err());
}

#[test]
fn dtoolkit_finds_the_same_machine() {
    for machine in MACHINES {
        let tree = aligned(&load(machine.name));
        let (found, fdt) = (discover(tree).unwrap(), Fdt::new(tree).unwrap());
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
