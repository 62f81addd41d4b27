//! `bench`: figures, counted in guest instructions where that is possible, because those are the
//! same on every machine.

use anyhow::Result;
use clap::{Args, Subcommand};

mod boot;
mod bulk;
mod burst;
mod counter;
mod executor;
mod idle;
mod linux;
mod live;
mod marks;
mod memory;
mod peer;
mod requests;
mod soak;
mod table;
mod xen;

pub use burst::Tally;

/// Measures how an app boots, serves and idles.
#[derive(Args)]
#[command(after_help = "Examples:
  cargo xtask bench boot                      instructions by boot step, up to the first ping
  cargo xtask bench requests --arch all       instructions for each echo and each HTTP request
  cargo xtask bench idle --json
  cargo xtask bench executor                  what tasks, timers and channels cost
  cargo xtask bench memory                    the smallest memory that still serves
  cargo xtask bench linux                     requests and bytes a second beside a Linux guest
  cargo xtask bench xen                       boots, requests, bytes a second, disks, on Xen
  cargo xtask bench soak --minutes 60         whether bursts ever make a guest stall

Images are release builds. Instructions are counted by a plugin of QEMU's translator, which gcc
compiles from xtask/src/bench/count.c; each iteration of an x86 REP instruction counts as one.")]
pub struct Options {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    Boot(boot::Options),
    Requests(requests::Options),
    Idle(idle::Options),
    Executor(executor::Options),
    Memory(memory::Options),
    Linux(linux::Options),
    Xen(xen::Options),
    Soak(soak::Options),
    #[command(hide = true)]
    Bulk(bulk::Options),
    #[command(hide = true)]
    Burst(burst::Options),
}

impl Options {
    /// Measures, and prints a table or JSON.
    pub fn execute(&self) -> Result<u8> {
        match &self.what {
            What::Boot(options) => options.execute(),
            What::Requests(options) => options.execute(),
            What::Idle(options) => options.execute(),
            What::Executor(options) => options.execute(),
            What::Memory(options) => options.execute(),
            What::Linux(options) => options.execute(),
            What::Xen(options) => options.execute(),
            What::Soak(options) => options.execute(),
            What::Bulk(options) => options.execute(),
            What::Burst(options) => options.execute(),
        }
        .map(|()| 0)
    }
}
