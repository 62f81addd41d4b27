//! Calling cargo to compile an app.

use std::collections::HashMap;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use super::How;
use super::wrapper::{self, LinkInputs};
use crate::app::{App, cargo};
use crate::arch::Arch;
use crate::{paths, tools};

/// Compiles `binaries` of the app's package; gives what is to be linked, by binary.
pub fn compile(
    app: &App,
    arch: Arch,
    how: &How,
    binaries: &[String],
) -> Result<HashMap<String, LinkInputs>> {
    let notes = call_cargo(app, arch, how, binaries)?;
    let load = |notes: &HashMap<String, PathBuf>| -> Result<HashMap<String, LinkInputs>> {
        notes.iter().map(|(name, note)| Ok((name.clone(), wrapper::load(note)?))).collect()
    };
    if let Ok(inputs) = load(&notes) {
        return Ok(inputs);
    }
    // Another version of this program has kept them, or someone has cleared them away.
    for note in notes.values() {
        std::fs::remove_file(note).ok();
    }
    load(&call_cargo(app, arch, how, binaries)?)
}

/// Compiles the app as a Linux process for this machine; gives the path of the program.
pub fn compile_for_host(app: &App, how: &How) -> Result<PathBuf> {
    let binary = std::slice::from_ref(&app.binary);
    let mut executables = execute(base_command(app, how, binary), app, "this machine")?;
    executables.remove(&app.binary).context("cargo has not built the app")
}

/// Compiles for `arch`; gives the path of the file that stands for each executable.
fn call_cargo(
    app: &App,
    arch: Arch,
    how: &How,
    binaries: &[String],
) -> Result<HashMap<String, PathBuf>> {
    let mut command = base_command(app, how, binaries);
    command.args(["--target", arch.target()]);
    set_flags(&mut command, app, arch, how)?;
    execute(command, app, arch.name())
}

/// `cargo build` for whatever machine.
fn base_command(app: &App, how: &How, binaries: &[String]) -> Command {
    let mut command = cargo();
    command.args(["build", "--message-format=json-render-diagnostics"]);
    command.arg("--manifest-path").arg(&app.manifest);
    for binary in binaries {
        command.args(["--bin", binary]);
    }
    if how.release {
        command.arg("--release");
    }
    if let Some(features) = &how.features {
        command.args(["--features", features]);
    }
    command
}

/// Runs cargo; gives the executables that it tells of.
fn execute(mut command: Command, app: &App, goal: &str) -> Result<HashMap<String, PathBuf>> {
    let mut child =
        command.stdout(Stdio::piped()).spawn().with_context(|| tools::cannot_start(&command))?;
    let messages = child.stdout.take().context("cargo has no output")?;
    let mut executables = HashMap::new();
    for line in BufReader::new(messages).lines() {
        executables.extend(executable_in(&line?));
    }
    let status = child.wait()?;
    if !status.success() {
        bail!("cargo could not build `{}` for {goal}; its messages are above", app.package);
    }
    Ok(executables)
}

/// The name and path of the executable that a message of cargo tells of.
fn executable_in(message: &str) -> Option<(String, PathBuf)> {
    let message: Value = serde_json::from_str(message).ok()?;
    let executable = message.get("executable")?.as_str()?;
    Some((message["target"]["name"].as_str()?.to_owned(), executable.into()))
}

/// Gives cargo the linker and the flags, by environment: that works for apps outside the tree too,
/// and replaces whatever flags are configured there.
fn set_flags(command: &mut Command, app: &App, arch: Arch, how: &How) -> Result<()> {
    let linker = format!("CARGO_TARGET_{}_LINKER", arch.target().to_uppercase().replace('-', "_"));
    command.env(linker, paths::this_program()?);
    let mut flags: Vec<String> = arch.rustflags().iter().map(|&flag| flag.to_owned()).collect();
    if how.release {
        // For `optimize`, which the linker of an image that ships starts with.
        flags.push("--emit=llvm-bc".to_owned());
    }
    flags.extend(
        prefixes(app)
            .into_iter()
            .map(|(from, to)| format!("--remap-path-prefix={}={to}", from.display())),
    );
    command.env("CARGO_ENCODED_RUSTFLAGS", flags.join("\x1f"));
    command.env_remove("RUSTFLAGS");
    Ok(())
}

/// The directories whose names must not get into an image, because they differ from one machine to
/// the next, and what stands for them. The last one that matches counts.
pub fn prefixes(app: &App) -> Vec<(PathBuf, &'static str)> {
    let home = std::env::var_os("CARGO_HOME")
        .map(PathBuf::from)
        .or_else(|| std::env::var_os("HOME").map(|home| Path::new(&home).join(".cargo")));
    let mut prefixes: Vec<_> = home.into_iter().map(|home| (home, "/cargo")).collect();
    if app.workspace != paths::repository() {
        prefixes.push((app.workspace.clone(), "/app"));
    }
    prefixes.push((paths::repository().to_owned(), "/mayfly"));
    prefixes.push((app.target_directory.clone(), "/target"));
    prefixes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn executables_are_found_among_cargos_messages() {
        let library = r#"{"reason":"compiler-artifact","target":{"name":"x"},"executable":null}"#;
        assert_eq!(executable_in(library), None);
        assert_eq!(executable_in("not json"), None);
        let binary = r#"{"reason":"compiler-artifact","target":{"name":"x"},"executable":"/t/x"}"#;
        assert_eq!(executable_in(binary), Some(("x".to_owned(), "/t/x".into())));
    }
}
