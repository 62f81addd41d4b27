//! The device tree by which Xen is told of the guest (docs/misc/arm/device-tree/booting.txt in Xen).

use anyhow::{Context, Result};
use dtoolkit::ToPropertyValue;
use dtoolkit::fdt::Fdt;
use dtoolkit::model::{DeviceTree, DeviceTreeNode, DeviceTreeProperty};

/// What Xen is told of the guest.
pub struct Domain<'a> {
    /// Memory, in KiB.
    pub memory: u64,
    /// Boot arguments.
    pub arguments: &'a str,
    /// Where the image is in the memory of the machine.
    pub address: u64,
    /// Bytes of the image.
    pub size: u64,
}

/// The tree of a machine, with a guest that Xen is to start, and Xen's own boot arguments.
///
/// # Errors
/// If `machine` is no device tree.
pub fn with_domain(machine: &[u8], xen: &str, domain: &Domain<'_>) -> Result<Vec<u8>> {
    let machine = Fdt::new(machine).map_err(|error| anyhow::anyhow!("{error}"));
    let mut tree = DeviceTree::from_fdt(&machine.context("QEMU's device tree cannot be read")?);
    if tree.find_node("/chosen").is_none() {
        tree.root.add_child(DeviceTreeNode::new("chosen")?);
    }
    let chosen = tree.find_node_mut("/chosen").context("a node was added, but is not there")?;
    add_cells(chosen)?;
    add(chosen, "xen,xen-bootargs", xen)?;
    chosen.add_child(node(domain)?);
    Ok(tree.to_dtb())
}

fn node(domain: &Domain<'_>) -> Result<DeviceTreeNode> {
    let mut module = DeviceTreeNode::new(format!("module@{:x}", domain.address))?;
    add(&mut module, "compatible", b"multiboot,kernel\0multiboot,module\0".as_slice())?;
    let registers = [domain.address.to_be_bytes(), domain.size.to_be_bytes()].concat();
    add(&mut module, "reg", registers)?;
    add(&mut module, "bootargs", domain.arguments)?;

    let mut node = DeviceTreeNode::new("domU1")?;
    add(&mut node, "compatible", "xen,domain")?;
    add_cells(&mut node)?;
    add(&mut node, "cpus", 1_u32)?;
    add(&mut node, "memory", domain.memory)?;
    // A UART, which Xen itself plays.
    add(&mut node, "vpl011", [0_u8; 0])?;
    node.add_child(module);
    Ok(node)
}

/// Addresses and sizes in children are of 64 bits.
fn add_cells(node: &mut DeviceTreeNode) -> Result<()> {
    add(node, "#address-cells", 2_u32)?;
    add(node, "#size-cells", 2_u32)
}

fn add(node: &mut DeviceTreeNode, name: &str, value: impl ToPropertyValue) -> Result<()> {
    node.add_property(DeviceTreeProperty::new(name, value)?);
    Ok(())
}
