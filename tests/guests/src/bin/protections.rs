//! The processor's protections are on, as far as it has them.
//!
//! Of most of them other guests show that they work. That SMEP does cannot be shown: it takes a page
//! for user mode, there is none, and none can be mapped once the page tables are sealed. WXN only
//! shows with a page that is writable and executable, and there is none of these either.
//@ machine: microvm gic3 hyp-gic3 xen
//@ cpu: default max
#![no_std]
#![no_main]

use mayfly_arch::cpu;

#[mayfly::main]
async fn main() -> mayfly::Result {
    match cpu::missing_protection() {
        None => guests::pass(),
        Some(what) => guests::fail(what),
    }
}
