//! Tests.

use vm_fdt::FdtWriter;

use super::*;

#[test]
fn a_tree_without_memory_is_refused() {
    let mut writer = FdtWriter::new().unwrap();
    let root = writer.begin_node("").unwrap();
    writer.end_node(root).unwrap();
    let bytes = writer.finish().unwrap().leak();
    assert_eq!(discover(bytes).unwrap_err(), FdtError::NoMemory);
}
