//! `cargo xtask`: builds, runs, tests and measures Mayfly images.
//!
//! Each subcommand has a module of its own name. The same program is also the linker that
//! `cargo build` calls while an image is built, see [`build::wrapper`].
#![forbid(unsafe_code)]

use std::process::ExitCode;

use clap::error::ErrorKind;
use clap::{CommandFactory, Parser, Subcommand};

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
mod xl_cfg;

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
    XlCfg(xl_cfg::Options),
    Doctor(doctor::Options),
    Ci(ci::Options),
    /// A client of the tests.
    #[command(hide = true)]
    Burst(test::Burst),
    /// Another one.
    #[command(hide = true)]
    Crowd(test::Crowd),
}

fn main() -> ExitCode {
    ui::end_with_reader();
    let arguments: Vec<String> = std::env::args().collect();
    if build::wrapper::is_linker_call(&arguments) {
        return ui::exit(build::wrapper::save(&arguments[1..]).map(|()| 0));
    }
    let cli = Cli::try_parse_from(&arguments).unwrap_or_else(|error| refuse(&error, &arguments));
    ui::exit(match cli.command {
        Command::New(options) => options.execute(),
        Command::Build(options) => options.execute(),
        Command::Burst(options) => options.execute(),
        Command::Crowd(options) => options.execute(),
        Command::Run(options) => options.execute(),
        Command::Test(options) => options.execute(),
        Command::Bench(options) => options.execute(),
        Command::Size(options) => options.execute(),
        Command::Lab(options) => options.execute(),
        Command::XlCfg(options) => options.execute(),
        Command::Describe(options) => options.execute(),
        Command::Ci(options) => options.execute(),
        Command::Doctor(options) => options.execute(),
        Command::Symbolize(options) => options.execute(),
    })
}

/// Ends with what clap says of the arguments. To one who has left something out, examples tell more
/// than the names of what is missing.
fn refuse(error: &clap::Error, arguments: &[String]) -> ! {
    if error.kind() == ErrorKind::MissingRequiredArgument
        && let Some(examples) = examples(arguments)
    {
        // Nobody is left to hear that the terminal is gone.
        error.print().ok();
        eprintln!("\n{examples}");
        std::process::exit(error.exit_code());
    }
    error.exit()
}

/// The examples in the help of the subcommand that `arguments` name, or of the one that it is part
/// of.
fn examples(arguments: &[String]) -> Option<String> {
    let mut command = &Cli::command();
    let mut help = None;
    for word in arguments.iter().skip(1) {
        let Some(subcommand) = command.find_subcommand(word) else { break };
        command = subcommand;
        help = command.get_after_help().map(ToString::to_string).or(help);
    }
    let lines: Vec<&str> = help.as_deref()?.lines().take_while(|line| !line.is_empty()).collect();
    Some(lines.join("\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn examples_are_those_of_the_subcommand() {
        let examples = |line: &str| {
            examples(&line.split(' ').map(str::to_owned).collect::<Vec<_>>()).unwrap_or_default()
        };
        assert!(examples("xtask build").contains("cargo xtask build http"));
        assert!(!examples("xtask build --release").contains("The last line"));
        assert!(examples("xtask lab exec").contains("cargo xtask lab exec"));
        assert!(examples("xtask").is_empty());
    }

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }
}
