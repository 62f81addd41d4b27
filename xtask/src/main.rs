//! `cargo xtask`: builds, runs, tests and measures Mayfly images.
//!
//! Each subcommand has a module of its own name. The same program is also the linker that
//! `cargo build` calls while an image is built, see [`build::wrapper`].
#![forbid(unsafe_code)]

use std::process::ExitCode;

use clap::{Parser, Subcommand};

mod app;
mod arch;
mod bench;
mod build;
mod cargo_tools;
mod ci;
mod cpio;
mod debian;
mod describe;
mod doctor;
mod lab;
mod linux;
mod new;
mod paths;
mod run;
mod setup;
mod shared;
mod size;
mod symbolize;
mod temporary;
mod test;
mod tools;
mod ui;

/// Builds, runs, tests and measures Mayfly images.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", version, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    New(new::Options),
    Build(build::Options),
    Run(run::Options),
    Test(test::Options),
    Size(size::Options),
    Bench(bench::Options),
    Describe(describe::Options),
    Symbolize(symbolize::Options),
    Lab(lab::Options),
    Doctor(doctor::Options),
    Ci(ci::Options),
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().collect();
    if build::wrapper::is_linker_call(&arguments) {
        return ui::exit(build::wrapper::save(&arguments[1..]).map(|()| 0));
    }
    ui::exit(match Cli::parse().command {
        Command::New(options) => options.execute(),
        Command::Build(options) => options.execute(),
        Command::Run(options) => options.execute(),
        Command::Test(options) => options.execute(),
        Command::Bench(options) => options.execute(),
        Command::Size(options) => options.execute(),
        Command::Lab(options) => options.execute(),
        Command::Describe(options) => options.execute(),
        Command::Ci(options) => options.execute(),
        Command::Doctor(options) => options.execute(),
        Command::Symbolize(options) => options.execute(),
    })
}
