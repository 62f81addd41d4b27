//! The device tree and the initrd that it names.

use anyhow::{Context, Result};
use dtoolkit::fdt::Fdt;
use dtoolkit::model::DeviceTree;
use dtoolkit::{Node, Property};

use super::Outcome::{self, Found, Lost, Refused};
use super::{GONE, INITRD, Places, Trial, relocate};
use crate::build::Image;
use crate::test::loader::{self, Loaded};
use crate::test::stub::Stub;

/// What the boot protocol has the address of a tree be a multiple of.
const ALIGNMENT: usize = 8;
/// Where the size is in the header of a tree, and how long QEMU's trees are.
const SIZE: std::ops::Range<usize> = 4..8;
const LONG: u32 = 1 << 20;
/// The properties of /chosen by which an initrd is found.
const START: &str = "linux,initrd-start";
const END: &str = "linux,initrd-end";

const IN_IMAGE: &str = "the device tree and the image in the same place";
const IN_VARIABLES: &str = "the initrd lies where the image's variables are";
const UNDER_TREE: &str = "the initrd lies where the device tree is";

/// Where something is put.
#[derive(Clone, Copy, Debug)]
enum Place {
    /// Where the loader has put it.
    Stays,
    /// So that it ends where the image begins.
    Before,
    /// So many bytes from a symbol.
    At(&'static str, i64),
    /// Right behind the tree, when that has been moved behind the image.
    BehindTree,
}
use Place::{At, Before, BehindTree, Stays};

/// How it is put.
#[derive(Clone, Copy, Debug)]
struct Layout {
    tree: Place,
    /// Whether the tree is as long as QEMU's are, of which most is unused.
    long: bool,
    initrd: Place,
}

/// The tests of the ARM architectures.
pub fn trials() -> Vec<Trial> {
    let tree =
        |name, tree, outcome| trial(name, Layout { tree, long: false, initrd: Stays }, outcome);
    let both =
        |name, tree, initrd, outcome| trial(name, Layout { tree, long: false, initrd }, outcome);
    let long = Layout { tree: At("__bss_start", 0), long: true, initrd: Stays };
    vec![
        tree("tree-before", Before, Found),
        tree("tree-behind-file", At("__file_end", 0), Found),
        tree("tree-in-bss", At("__bss_start", 0), Found),
        tree("tree-in-stack", At("__stack_bottom", 0), Found),
        tree("tree-in-tables", At("__tables_start", 0), Found),
        tree("tree-across-end", At("__image_end", -4096), Found),
        tree("tree-in-last-bytes", At("__image_end", -8), Found),
        tree("tree-behind", At("__image_end", 0), Found),
        tree("tree-misaligned", At("__bss_start", 4), Refused(IN_IMAGE)),
        trial("tree-of-1M", long, Found),
        both("initrd-before", Stays, Before, Found),
        both("initrd-behind", Stays, At("__image_end", 0), Found),
        both("initrd-in-bss", Stays, At("__bss_start", 0), Lost(IN_VARIABLES)),
        both("initrd-in-last-bytes", Stays, At("__image_end", -8), Lost(IN_VARIABLES)),
        both("tree-and-initrd", At("__bss_start", 0), BehindTree, Found),
        both("tree-over-initrd", At("__bss_start", 0), At("__image_end", 0), Lost(UNDER_TREE)),
    ]
}

fn trial(name: &'static str, layout: Layout, outcome: Outcome) -> Trial {
    let change = move |stub: &mut Stub, image: &Image, places: &Places| {
        let loaded = loader::loaded(stub, image.arch)?;
        rearrange(stub, places, &loaded, layout)
    };
    Trial { name, change: Box::new(change), outcome }
}

/// Moves tree and initrd, and tells of it where they are looked for: in the tree, in the loader's code.
fn rearrange(stub: &mut Stub, places: &Places, loaded: &Loaded, layout: Layout) -> Result<()> {
    let old = read_tree(stub, loaded.tree)?;
    let (mut tree, initrd) = with_initrd(&old)?;
    let length = tree.to_dtb().len().next_multiple_of(ALIGNMENT);
    let address = |place, now, size: usize| -> Result<u64> {
        Ok(match place {
            Stays => now,
            Before => loaded.image - size as u64,
            At(symbol, distance) => {
                (loaded.image + places.of(symbol)?).wrapping_add_signed(distance)
            }
            BehindTree => loaded.image + places.of("__image_end")? + length as u64,
        })
    };
    let place = address(layout.initrd, initrd, INITRD)?;
    relocate(stub, initrd, place, INITRD)?;
    name_initrd(&mut tree, place)?;

    let mut bytes = tree.to_dtb();
    bytes.resize(length, 0);
    let total = if layout.long { LONG } else { u32::try_from(length)? };
    bytes[SIZE].copy_from_slice(&total.to_be_bytes());
    let place = address(layout.tree, loaded.tree, length)?;
    stub.write(loaded.tree, &vec![GONE; old.len()])?;
    stub.write(place, &bytes)?;
    stub.write(loaded.pointer, &u32::try_from(place)?.to_le_bytes())
}

/// The part of a tree that is used, with that as its length. QEMU puts the names of properties last.
fn read_tree(stub: &mut Stub, address: u64) -> Result<Vec<u8>> {
    /// Where the header has offset and size of the strings.
    const STRINGS: u64 = 12;
    const STRINGS_SIZE: u64 = 32;
    let mut field =
        |offset| Ok::<_, anyhow::Error>(u32::from_be_bytes(stub.word(address + offset)?));
    let used = field(STRINGS)? + field(STRINGS_SIZE)?;
    let mut tree = stub.read(address, used as usize)?;
    tree[SIZE].copy_from_slice(&used.to_be_bytes());
    Ok(tree)
}

/// A tree that can be changed, and where the initrd is by it.
fn with_initrd(tree: &[u8]) -> Result<(DeviceTree, u64)> {
    let tree = Fdt::new(tree).map_err(|error| anyhow::anyhow!("QEMU's device tree: {error}"))?;
    let chosen = tree.find_node("/chosen").context("the tree has no /chosen")?;
    let start = chosen.property(START).context("the tree names no initrd")?;
    let start = start.value().iter().fold(0, |number, &byte| number << 8 | u64::from(byte));
    let mut tree = DeviceTree::from_fdt(&tree);
    // In as many bytes as it is going to have.
    name_initrd(&mut tree, start)?;
    Ok((tree, start))
}

/// Has a tree say that the initrd is there.
fn name_initrd(tree: &mut DeviceTree, start: u64) -> Result<()> {
    let chosen = tree.find_node_mut("/chosen").context("the tree has no /chosen")?;
    for (name, address) in [(START, start), (END, start + INITRD as u64)] {
        chosen.property_mut(name).with_context(|| format!("no {name}"))?.set_value(address);
    }
    Ok(())
}
