//! What tasks cost, on the host and in virtual time: `cargo bench -p mayfly --bench tasks`.
//!
//! `-- CASE COUNT` runs one case only, so that two counts under `valgrind --tool=callgrind` give the
//! instructions per operation: the difference of their totals divided by the difference of the
//! counts.
#![allow(clippy::unwrap_used, reason = "a benchmark that cannot go on may panic")]

use std::{hint::black_box, time::Instant};

use mayfly::{
    executor::{run, spawn, yield_now},
    sync::{Mutex, channel},
    time::{Duration, sleep, timeout},
};

type Case = (&'static str, u32, fn(u32));

const CASES: [Case; 8] = [
    ("ready task: wake and poll", 1_000_000, wake),
    ("spawn and finish", 1_000_000, spawn_finish),
    ("spawn and join", 1_000_000, spawn_join),
    ("sleep, one at a time", 1_000_000, sleep_in_turn),
    ("timeout that is not reached", 1_000_000, unused_timeout),
    ("100,000 sleepers", 100_000, sleepers),
    ("channel, send and receive", 1_000_000, through_channel),
    ("mutex, lock and unlock", 1_000_000, lock),
];

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|a| !a.starts_with('-')).collect();
    let (wanted, count) = (arguments.first(), arguments.get(1).and_then(|n| n.parse().ok()));
    mayfly_arch::simulation::start();
    for (name, default, case) in CASES {
        if wanted.is_some_and(|wanted| !name.contains(wanted.as_str())) {
            continue;
        }
        let (start, count) = (Instant::now(), count.unwrap_or(default));
        case(count);
        println!("{name:32} {:8.1} ns", start.elapsed().as_nanos() as f64 / f64::from(count));
    }
}

fn wake(count: u32) {
    run(async {
        let task = spawn(async move {
            for _ in 0..count {
                yield_now().await;
            }
        });
        task.await.ok();
    });
}

fn spawn_finish(count: u32) {
    run(async {
        for i in 0..count {
            spawn(async move { black_box(i) }).detach();
            if i % 16 == 0 {
                yield_now().await;
            }
        }
    });
}

fn spawn_join(count: u32) {
    run(async {
        for i in 0..count {
            black_box(spawn(async move { i }).await).ok();
        }
    });
}

fn sleep_in_turn(count: u32) {
    run(async {
        for _ in 0..count {
            sleep(Duration::from_micros(1)).await;
        }
    });
}

fn unused_timeout(count: u32) {
    run(async {
        for _ in 0..count {
            timeout(Duration::from_secs(1), yield_now()).await.ok();
        }
    });
}

fn sleepers(count: u32) {
    run(async {
        for i in 0..u64::from(count) {
            let duration = Duration::from_micros(1 + i * 7919 % u64::from(count));
            spawn(sleep(duration)).detach();
        }
        sleep(Duration::from_secs(1)).await;
    });
}

fn through_channel(count: u32) {
    run(async {
        let (sender, mut receiver) = channel(16);
        spawn(async move {
            for i in 0..count {
                sender.send(i).await.ok();
            }
        })
        .detach();
        while let Some(value) = receiver.receive().await {
            black_box(value);
        }
    });
}

fn lock(count: u32) {
    run(async {
        let mutex = Mutex::new(0);
        for _ in 0..count {
            *mutex.lock().await += 1;
        }
        black_box(mutex.into_inner());
    });
}
