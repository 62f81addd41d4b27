//! Many tasks: each runs, sleepers wake in order, and the memory comes back. Prints what they cost:
//! with QEMU's `-icount shift=0` a nanosecond is an instruction.
//@ memory: 64M
//@ arguments: sleepers=20000 spawned=50000
//@ timeout: 120
#![no_std]
#![no_main]
#![forbid(unsafe_code)]

use core::{cell::Cell, hint::black_box, time::Duration};

use guests::check;
use mayfly::{
    BootArguments, Machine, Result,
    alloc::{boxed::Box, rc::Rc},
    executor::yield_now,
    memory, println, spawn,
    sync::channel,
    time::{Instant, sleep_until, timeout},
};

#[derive(BootArguments)]
struct Args {
    /// How many tasks sleep at the same time.
    #[arg(default = 100_000)]
    sleepers: u32,
    /// How many tasks are spawned in all, and how often everything else is done.
    #[arg(default = 1_000_000)]
    spawned: u32,
}

#[mayfly::main]
async fn main(machine: Machine) -> Result {
    let args: Args = machine.arguments()?;
    println!("{}", memory::stats());
    let before = memory::stats().free_frames;
    let cost = Cost::new(args.spawned);
    cost.print("allocate and free 64 bytes", |count| {
        for _ in 0..count {
            black_box(Box::<[u8; 64]>::new_uninit());
        }
    });
    let start = Instant::now();
    wake(args.spawned).await;
    cost.print_since("wake and poll a task", start);
    let start = Instant::now();
    spawn_all(args.spawned).await?;
    cost.print_since("spawn and finish a task", start);
    let start = Instant::now();
    for _ in 0..args.spawned {
        timeout(Duration::from_secs(9), async {}).await.ok();
    }
    cost.print_since("timeout that is not needed", start);
    let start = Instant::now();
    through_channel(args.spawned).await;
    cost.print_since("send through a channel", start);
    wake_sleepers(args.sleepers).await?;
    let after = memory::stats().free_frames;
    println!("{before} frames free before, {after} after: {}", memory::stats());
    // What is kept: the table of chunks, and one span or chunk of each kind.
    check(after + before / 64 + 32 >= before, "memory was not given back")?;
    guests::pass()
}

struct Cost {
    count: u32,
}

impl Cost {
    fn new(count: u32) -> Self {
        Self { count }
    }

    fn print(&self, what: &str, work: impl FnOnce(u32)) {
        let start = Instant::now();
        work(self.count);
        self.print_since(what, start);
    }

    fn print_since(&self, what: &str, start: Instant) {
        println!("{what:40} {:6} ns", start.elapsed().as_nanos() as u64 / u64::from(self.count));
    }
}

async fn wake(count: u32) {
    let task = spawn(async move {
        for _ in 0..count {
            yield_now().await;
        }
    });
    task.await.ok();
}

async fn spawn_all(count: u32) -> Result {
    let finished = Rc::new(Cell::new(0));
    for i in 0..count {
        let finished = Rc::clone(&finished);
        spawn(async move { finished.set(finished.get() + 1) }).detach();
        if i % 16 == 0 {
            yield_now().await;
        }
    }
    yield_now().await;
    check(finished.get() == count, "a spawned task did not run")
}

async fn through_channel(count: u32) {
    let (sender, mut receiver) = channel(16);
    spawn(async move {
        for i in 0..count {
            sender.send(i).await.ok();
        }
    })
    .detach();
    while receiver.receive().await.is_some() {}
}

/// Lets tasks sleep until points in time in no order. The first of them comes when all are asleep,
/// unless the machine is very slow; only then may they wake out of order.
async fn wake_sleepers(count: u32) -> Result {
    let free = memory::stats().free_frames;
    let (woken, ordered) = (Rc::new(Cell::new(0)), Rc::new(Cell::new(0)));
    let latest = Rc::new(Cell::new(Instant::now()));
    let spawning = Instant::now();
    let first = spawning + Duration::from_micros(50) * count;
    for i in 0..count {
        let until = first + Duration::from_nanos(u64::from(i) * 7919 % u64::from(count));
        let (woken, ordered) = (Rc::clone(&woken), Rc::clone(&ordered));
        let latest = Rc::clone(&latest);
        spawn(async move {
            sleep_until(until).await;
            woken.set(woken.get() + 1);
            ordered.set(ordered.get() + u32::from(latest.get() <= until));
            latest.set(until);
        })
        .detach();
    }
    yield_now().await;
    let was_fast = Instant::now() < first;
    let spawned = spawning.elapsed().as_nanos() as u64 / u64::from(count);
    let bytes = (free - memory::stats().free_frames) * memory::PAGE_SIZE / count as usize;
    println!("{:40} {spawned:6} ns, {bytes} bytes", "spawn a task that goes to sleep");
    sleep_until(first).await;
    let waking = Instant::now();
    sleep_until(first + Duration::from_nanos(u64::from(count))).await;
    let each = waking.elapsed().as_nanos() as u64 / u64::from(count);
    println!("{:40} {each:6} ns", "wake, run and end a sleeping task");
    check(woken.get() == count, "sleepers did not all wake")?;
    check(ordered.get() == count || !was_fast, "sleepers did not wake in order")
}
