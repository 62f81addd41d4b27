//! Trees from QEMU, trees made up, trees damaged.

mod damaged;
mod grown;
mod made_up;
mod mended;
mod oracle;
mod qemu;

use vm_fdt::FdtWriter;
use zerocopy::IntoBytes;

/// A copy of a tree that is aligned and lives for ever, as a loader's tree does.
fn aligned(tree: &[u8]) -> &'static [u8] {
    let mut words = vec![0_u64; tree.len().div_ceil(8)];
    words.as_mut_bytes()[..tree.len()].copy_from_slice(tree);
    &words.leak().as_bytes()[..tree.len()]
}

/// Adds a node.
fn node(writer: &mut FdtWriter, name: &str, fill: impl FnOnce(&mut FdtWriter)) {
    let handle = writer.begin_node(name).unwrap();
    fill(writer);
    writer.end_node(handle).unwrap();
}

/// The bytes of a tree whose root has two cells for addresses and sizes.
fn tree_bytes(writer: FdtWriter, fill: impl FnOnce(&mut FdtWriter)) -> Vec<u8> {
    let mut writer = writer;
    node(&mut writer, "", |writer| {
        writer.property_u32("#address-cells", 2).unwrap();
        writer.property_u32("#size-cells", 2).unwrap();
        fill(writer);
    });
    writer.finish().unwrap()
}

/// A tree as above, with 128 MiB of memory at 1 GiB.
fn tree(fill: impl FnOnce(&mut FdtWriter)) -> &'static [u8] {
    aligned(&tree_bytes(FdtWriter::new().unwrap(), |writer| {
        memory(writer, "memory@40000000", &[0x4000_0000, 0x800_0000]);
        fill(writer);
    }))
}

/// Adds a memory node with two-cell addresses and sizes.
fn memory(writer: &mut FdtWriter, name: &str, reg: &[u64]) {
    node(writer, name, |writer| {
        writer.property_string("device_type", "memory").unwrap();
        writer.property_array_u64("reg", reg).unwrap();
    });
}
