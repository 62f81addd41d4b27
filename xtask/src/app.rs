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
        let output = tools::output(
            cargo()
                .args(["metadata", "--no-deps", "--format-version=1", "--manifest-path"])
                .arg(&manifest),
        )?;
        let metadata: Value = serde_json::from_str(&output).context("cargo metadata")?;
        Self::from_metadata(&metadata, manifest, binary)
    }

    /// Picks the package out of what `cargo metadata` says.
    fn from_metadata(metadata: &Value, manifest: PathBuf, binary: Option<&str>) -> Result<Self> {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
        let package = list(&metadata["packages"])
            .into_iter()
            .find(|package| Path::new(&text(&package["manifest_path"])) == manifest)
            .with_context(|| {
                format!("{} is a workspace; name one of its packages", manifest.display())
            })?;
        let name = text(&package["name"]);
        let is_binary = |target: &Value| list(&target["kind"]).iter().any(|kind| kind == "bin");
        let targets = list(&package["targets"]);
        let binaries: Vec<String> = targets
            .iter()
            .filter(|target| is_binary(target))
            .map(|target| text(&target["name"]))
            .collect();
        let binary = choose_binary(&name, &binaries, binary)?;
        Ok(Self {
            manifest,
            package: name,
            binary,
            target_directory: text(&metadata["target_directory"]).into(),
            workspace: text(&metadata["workspace_root"]).into(),
            metadata: package["metadata"]["mayfly"].clone(),
        })
    }
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
