//! Where the image lies, from the symbols of the linker script.

use crate::{PAGE_SIZE, PhysAddr, PhysRange};

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
    /// First address of the variables.
    data_start = __data_start;
    /// End of the variables.
    bss_end = __bss_end;
    /// The unmapped page below the main stack.
    stack_guard = __stack_guard;
    /// Lowest address of the main stack.
    stack_bottom = __stack_bottom;
    /// End of the main stack.
    stack_top = __stack_top;
    /// The unmapped page below the fault stack.
    fault_stack_guard = __fault_stack_guard;
    /// Lowest address of the fault stack.
    fault_stack_bottom = __fault_stack_bottom;
    /// The link-time address of the first page tables, not mapped.
    tables_start = __tables_start;
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

/// What part of the image an address lies in, for the fault report.
pub(super) fn describe(address: usize) -> Option<&'static str> {
    let parts = [
        (0, PAGE_SIZE, "the NULL page"),
        (start(), text_end(), "the code of the image"),
        (rodata_start(), rodata_end(), "the constants of the image"),
        (data_start(), bss_end(), "the data of the image"),
        (stack_guard(), stack_bottom(), "guard page of the main stack"),
        (stack_bottom(), stack_top(), "the main stack"),
        (fault_stack_guard(), fault_stack_bottom(), "guard page of the fault stack"),
        (fault_stack_bottom(), tables_start(), "the fault stack"),
        (tables_start(), end(), "the page tables"),
    ];
    parts.iter().find(|&&(start, end, _)| (start..end).contains(&address)).map(|&(.., what)| what)
}
