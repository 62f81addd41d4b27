//! Finding the app that a command names.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::{paths, tools};

/// An app crate: something that an image can be made of.
#[derive(Clone, Debug)]
pub struct App {
    /// The `Cargo.toml` of the package.
    pub manifest: PathBuf,
    /// Name of the package.
    pub package: String,
    /// Name of the binary in it, which is also the name of the image.
    pub binary: String,
    /// The directory in which the app's workspace puts what it builds.
    pub target_directory: PathBuf,
    /// The root of the app's workspace.
    pub workspace: PathBuf,
    /// Its `[package.metadata.mayfly]`, or null.
    pub metadata: Value,
}

impl App {
    /// Finds the app called `name`: a directory with an app crate, an example, or a test guest as
    /// `guests/NAME`. `binary` is needed only for a package with several.
    ///
    /// # Errors
    /// If there is none; the error lists those that there are.
    pub fn find(name: &str, binary: Option<&str>) -> Result<Self> {
        let examples = paths::repository().join("examples");
        let given = Path::new(name);
        let example = examples.join(name);
        let is_word = !name.contains('/') && name != "." && name != "..";
        if let Some(guest) = name.strip_prefix("guests/") {
            return Self::load(&paths::repository().join("tests/guests"), Some(guest));
        }
        if is_word && example.join("Cargo.toml").is_file() {
            return Self::load(&example, binary);
        }
        if given.join("Cargo.toml").is_file() {
            return Self::load(given, binary);
        }
        bail!(
            "there is no app `{name}`: neither an example ({}) nor a directory with a Cargo.toml; \
             `cargo xtask new PATH` makes one",
            examples_in(&examples).join(", ")
        )
    }

    /// Asks cargo about the package in `directory`.
    fn load(directory: &Path, binary: Option<&str>) -> Result<Self> {
        let manifest = directory
            .join("Cargo.toml")
            .canonicalize()
            .with_context(|| format!("cannot find {}", directory.display()))?;
        let metadata = metadata(&manifest)?;
        let package = package_of(&metadata, &manifest)?;
        let name = text(&package.0["name"]);
        let binaries: Vec<String> =
            package.binaries().map(|target| text(&target["name"])).collect();
        Ok(Self {
            binary: choose_binary(&name, &binaries, binary)?,
            package: name,
            target_directory: text(&metadata["target_directory"]).into(),
            workspace: text(&metadata["workspace_root"]).into(),
            metadata: package.0["metadata"]["mayfly"].clone(),
            manifest,
        })
    }
}

/// What `cargo metadata` says about the workspace that `manifest` belongs to.
pub fn metadata(manifest: &Path) -> Result<Value> {
    let mut command = cargo();
    command.args(["metadata", "--no-deps", "--format-version=1", "--manifest-path"]).arg(manifest);
    serde_json::from_str(&tools::output(&mut command)?).context("cannot read cargo's metadata")
}

/// A package, as `cargo metadata` describes it.
struct Package<'a>(&'a Value);

impl<'a> Package<'a> {
    fn binaries(&self) -> impl Iterator<Item = &'a Value> {
        let is_binary = |target: &&Value| list(&target["kind"]).iter().any(|kind| kind == "bin");
        list(&self.0["targets"]).iter().filter(is_binary)
    }
}

fn package_of<'a>(metadata: &'a Value, manifest: &Path) -> Result<Package<'a>> {
    list(&metadata["packages"])
        .iter()
        .find(|package| package["manifest_path"].as_str().map(Path::new) == Some(manifest))
        .map(Package)
        .with_context(|| format!("{} is a workspace; name a package in it", manifest.display()))
}

/// A JSON string; empty if it is something else.
fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

/// A JSON list; empty if it is something else.
pub fn list(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}

/// The binaries of the package in `directory`, by name, with their sources.
pub fn binaries(directory: &Path) -> Result<Vec<(String, PathBuf)>> {
    let manifest = directory.join("Cargo.toml");
    let metadata = metadata(&manifest)?;
    let mut binaries: Vec<(String, PathBuf)> = package_of(&metadata, &manifest)?
        .binaries()
        .map(|target| (text(&target["name"]), text(&target["src_path"]).into()))
        .collect();
    binaries.sort();
    Ok(binaries)
}

/// The binary that is meant: the one asked for, the only one, or the one called as the package is.
fn choose_binary(package: &str, binaries: &[String], wanted: Option<&str>) -> Result<String> {
    let by_name = |name: &str| binaries.iter().find(|binary| *binary == name).cloned();
    match (wanted, binaries) {
        (Some(wanted), _) => by_name(wanted).with_context(|| {
            format!("`{package}` has no binary `{wanted}`; it has {}", binaries.join(", "))
        }),
        (None, [only]) => Ok(only.clone()),
        (None, []) => bail!("`{package}` has no binary: an app needs a src/main.rs"),
        (None, _) => by_name(package).with_context(|| {
            format!("`{package}` has several binaries; choose with --bin: {}", binaries.join(", "))
        }),
    }
}

/// The cargo that called us, so that a `cargo +toolchain` is respected.
pub fn cargo() -> Command {
    Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
}

/// The names of the apps in `directory`.
fn examples_in(directory: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(directory).into_iter().flatten().flatten();
    let mut names: Vec<String> = entries
        .filter(|entry| entry.path().join("Cargo.toml").is_file())
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_binary_is_chosen_only_when_it_is_clear_which() {
        let many = ["one".to_owned(), "app".to_owned()];
        assert_eq!(choose_binary("app", &many[..1], None).unwrap(), "one");
        assert_eq!(choose_binary("app", &many, None).unwrap(), "app");
        assert_eq!(choose_binary("app", &many, Some("one")).unwrap(), "one");
        assert!(choose_binary("other", &many, None).unwrap_err().to_string().contains("--bin"));
        assert!(choose_binary("app", &many, Some("two")).is_err());
        assert!(choose_binary("app", &[], None).is_err());
    }
}
