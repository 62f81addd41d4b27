//! The stack of the fault report has a guard page. Nothing that an app can do makes that stack
//! overflow, as only the report runs on it, so the guest writes to the byte below it.
//@ machine: microvm gic3 xen
//@ dies: 102
//@ report: guard page of the fault stack
#![no_std]
#![no_main]

unsafe extern "C" {
    /// Of the linker scripts: where the guard page starts.
    static __fault_stack_guard: u8;
}

#[mayfly::main]
async fn main() -> mayfly::Result {
    guests::violate::write((&raw const __fault_stack_guard).addr() + mayfly::memory::PAGE_SIZE - 1)
}
