//! Where the parts of the image are, as the linker script says (see ARCHITECTURE.md).

use core::ops::Range;

unsafe extern "C" {
    static __image_start: u8;
    static __text_start: u8;
    static __text_end: u8;
    static __rodata_start: u8;
    static __rodata_end: u8;
    static __symbols_start: u8;
    static __symbols_end: u8;
    static __data_start: u8;
    static __bss_end: u8;
    static __stack_guard: u8;
    static __stack_bottom: u8;
    static __stack_top: u8;
    static __fault_stack_guard: u8;
    static __fault_stack_bottom: u8;
    static __fault_stack_top: u8;
    static __tables_start: u8;
    static __tables_end: u8;
    static __image_end: u8;
}

macro_rules! range {
    ($(#[$meta:meta])* $name:ident, $start:ident, $end:ident) => {
        $(#[$meta])*
        pub fn $name() -> Range<usize> {
            (&raw const $start).addr()..(&raw const $end).addr()
        }
    };
}

range!(/** All of the image, as virtual addresses. */ all, __image_start, __image_end);
range!(/** Code. */ text, __text_start, __text_end);
range!(/** Constants, symbols. */ rodata, __rodata_start, __rodata_end);
range!(/** Variables. */ data, __data_start, __bss_end);
range!(/** The main stack, on which everything but fault reports runs. */
    stack, __stack_bottom, __stack_top);
range!(/** The stack of the fault report. */ fault_stack, __fault_stack_bottom, __fault_stack_top);
range!(/** The page tables that boot assembly fills. */ tables, __tables_start, __tables_end);

/// The table of function names that the build put in, empty if it put none.
pub fn symbols() -> &'static [u8] {
    let start = &raw const __symbols_start;
    let size = (&raw const __symbols_end).addr() - start.addr();
    // SAFETY: the linker script defines both symbols around one section of the read-only data,
    // which stays mapped for ever and which nothing writes.
    unsafe { core::slice::from_raw_parts(start, size) }
}

/// The stacks, for the backtrace.
pub(crate) fn stacks() -> [Range<usize>; 2] {
    [stack(), fault_stack()]
}

/// What lies below the main stack and below that of the fault report, and is not mapped.
pub(crate) fn guards() -> [Range<usize>; 2] {
    [
        (&raw const __stack_guard).addr()..stack().start,
        (&raw const __fault_stack_guard).addr()..fault_stack().start,
    ]
}

/// Names the protected part of the image that `address` lies in: what a fault hit.
pub fn protected_part(address: usize) -> Option<&'static str> {
    let [guard, fault_guard] = guards();
    if address < crate::PAGE_SIZE {
        return Some("NULL page");
    }
    [
        (guard, "guard page of the main stack: stack overflow"),
        (fault_guard, "guard page of the fault stack: stack overflow"),
        (text(), "code of the image, which is read-only"),
        (rodata(), "constants of the image, which are read-only and not executable"),
        (data(), "variables of the image, which are not executable"),
        (stack(), "main stack, which is not executable"),
        (tables(), "page tables, which are sealed"),
    ]
    .into_iter()
    .find_map(|(part, name)| part.contains(&address).then_some(name))
}
