//! Interrupt handlers may free memory, such as an app's own waker that nobody else has any more.
//@ machine: microvm gic3 xen
//@ disk: 1M
#![no_std]
#![no_main]
#![forbid(unsafe_code)]

use core::time::Duration;

use mayfly::{
    Machine,
    alloc::{sync::Arc, task::Wake, vec::Vec},
    memory, spawn,
    time::sleep,
};
use mayfly_arch::{IrqLock, in_interrupt};
use mayfly_device::{InterruptHandler, Signal};

/// What is freed, when an interrupt has come: small blocks, one of an arena, and frames.
static BLOCKS: IrqLock<[Vec<u8>; 4]> = IrqLock::new([const { Vec::new() }; 4]);
const SIZES: [usize; 4] = [1, 100, 3000, 20_000];

/// Has the last share of a waker of the app's.
static SIGNAL: Signal = Signal::new();

struct AppWaker(#[expect(dead_code, reason = "it is there to be freed")] [u8; 300]);

impl Wake for AppWaker {
    fn wake(self: Arc<Self>) {}
}

struct Frees;

impl InterruptHandler for Frees {
    fn interrupt(&self) {
        if in_interrupt() {
            BLOCKS.with(|blocks| blocks.fill_with(Vec::new));
            SIGNAL.raise();
        }
    }
}

#[mayfly::main]
async fn main(machine: Machine) -> mayfly::Result {
    // The driver's own memory is there before it is counted, and that of timers.
    machine.disk(0).await?.read(0, &mut [0; 512]).await?;
    sleep(Duration::from_millis(1)).await;
    // So is what the task has that looks for dom0's orders: it begins when the disk is there, and has
    // fewer requests to wait for, which XenStore answers in turn.
    if let Some(xen) = machine.xen() {
        for _ in 0..8 {
            xen.domain().await?;
        }
    }
    let waker = Arc::new(AppWaker([0; 300])).into();
    let blocks = SIZES.map(Vec::with_capacity);
    let before = memory::stats().heap_in_use;
    let _ = SIGNAL.poll(&mut core::task::Context::from_waker(&waker));
    drop(waker);
    BLOCKS.with(|place| *place = blocks);
    guests::interrupts::take(&machine, &Frees).await?;
    guests::check(
        BLOCKS.with(|blocks| blocks[0].capacity() == 0),
        "no handler has freed anything",
    )?;
    // At the latest when the guest has rested.
    sleep(Duration::from_millis(1)).await;
    let freed = before.saturating_sub(memory::stats().heap_in_use);
    let least = SIZES.iter().sum::<usize>() + size_of::<AppWaker>();
    mayfly::println!("{freed} bytes have come back");
    guests::check(freed >= least, "what a handler has freed does not come back")?;
    // And the heap is in order.
    for size in SIZES {
        spawn(async move { drop(Vec::<u8>::with_capacity(size)) }).await?;
    }
    guests::pass()
}
