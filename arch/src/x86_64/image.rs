//! Where the image lies, from the symbols of the linker script.

use crate::{PhysAddr, PhysRange};

/// Physical address of the image's first byte. The ELF file asks for it, and on x86-64 every loader
/// obeys (`linker/x86_64.ld`).
const PHYS_BASE: u64 = 0x10_0000;

macro_rules! symbols {
    ($($(#[$meta:meta])* $name:ident = $symbol:ident;)*) => {
        $($(#[$meta])*
        pub(super) fn $name() -> usize {
            unsafe extern "C" { static $symbol: u8; }
            // Only the address means anything; nothing is read.
            (&raw const $symbol).addr()
        })*
    };
}

symbols! {
    /// First address of the image.
    start = __image_start;
    /// End of the code.
    text_end = __text_end;
    /// First address of the constants.
    rodata_start = __rodata_start;
    /// End of the constants.
    rodata_end = __rodata_end;
    /// The unmapped page below the main stack.
    stack_guard = __stack_guard;
    /// Lowest address of the main stack.
    stack_bottom = __stack_bottom;
    /// The unmapped page below the fault stack.
    fault_stack_guard = __fault_stack_guard;
    /// Lowest address of the fault stack.
    fault_stack_bottom = __fault_stack_bottom;
    /// The link-time address of the first page tables, not mapped.
    tables_start = __tables_start;
    /// End of the link-time addresses of the page tables.
    tables_end = __tables_end;
    /// End of the image.
    end = __image_end;
}

/// The memory that the image takes, page tables included.
pub(super) fn frames() -> PhysRange {
    PhysRange::between(PhysAddr(PHYS_BASE), PhysAddr(PHYS_BASE + (end() - start()) as u64))
}

/// Physical address of an address within the image window.
pub(super) fn virt_to_phys(address: usize) -> Option<PhysAddr> {
    (start()..end()).contains(&address).then(|| PhysAddr(PHYS_BASE + (address - start()) as u64))
}

/// What protected place of the image an address lies in, for the fault report.
pub(super) fn describe(address: usize) -> Option<&'static str> {
    Some(match address {
        0..4096 => "the NULL page",
        a if (start()..text_end()).contains(&a) => "the code of the image",
        a if (rodata_start()..rodata_end()).contains(&a) => "the constants of the image",
        a if (stack_guard()..stack_bottom()).contains(&a) => "guard page of the main stack",
        a if (fault_stack_guard()..fault_stack_bottom()).contains(&a) => {
            "guard page of the fault stack"
        }
        a if (tables_start()..tables_end()).contains(&a) => "the page tables",
        _ => return None,
    })
}
