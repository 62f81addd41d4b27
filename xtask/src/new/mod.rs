//! `new`: an app crate of one's own.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use clap::Args;

use crate::{paths, tools, ui};

/// The files of a new app: where they go, and what is in them. `@NAME@` stands for the name of the
/// app, `@MAYFLY@` for the path of this checkout.
const FILES: [(&str, &str); 5] = [
    ("Cargo.toml", include_str!("Cargo.toml.in")),
    ("src/main.rs", include_str!("main.rs.in")),
    (".cargo/config.toml", include_str!("config.toml.in")),
    ("rust-toolchain.toml", include_str!("../../../rust-toolchain.toml")),
    (".gitignore", "/target\n"),
];

/// Makes an app crate, anywhere, that builds and runs at once.
#[derive(Args)]
#[command(after_help = "Examples:
  cargo xtask new ../myapp
  cd ../myapp && cargo xtask run .

The name of the directory is the name of the app.")]
pub struct Options {
    /// The directory to make, outside of this checkout; it must not exist yet, or be empty.
    path: PathBuf,
}

impl Options {
    /// Writes the files, and says how to go on.
    pub fn execute(&self) -> Result<u8> {
        ensure_outside(&self.path, paths::repository())?;
        let name = create(&self.path)?;
        ui::progress("Created", format_args!("the app `{name}` in {}", self.path.display()));
        let directory = tools::quote(&self.path.to_string_lossy());
        eprintln!("Run it:  cd {directory} && cargo xtask run .");
        Ok(0)
    }
}

/// Fails if `path` is in the checkout: cargo would join the alias `xtask` of the checkout and that of
/// the app to one, which is none.
fn ensure_outside(path: &Path, checkout: &Path) -> Result<()> {
    let absolute = std::path::absolute(path).unwrap_or_else(|_| path.into());
    // What does not exist yet is where the first directory above it that exists really is.
    let place = absolute.ancestors().find_map(|path| path.canonicalize().ok());
    let checkout = checkout.canonicalize().context("the checkout of Mayfly is gone")?;
    ensure!(
        !place.is_some_and(|place| place.starts_with(&checkout)),
        "{} is in the checkout of Mayfly, where an app cannot have settings of its own for cargo; \
         choose a place outside of {}",
        path.display(),
        checkout.display()
    );
    Ok(())
}

/// Makes an app crate in the directory `path`; gives its name.
///
/// # Errors
/// If the directory is not empty, or its name is none for a crate.
fn create(path: &Path) -> Result<&str> {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    check_name(name)?;
    if path.read_dir().is_ok_and(|mut entries| entries.next().is_some()) {
        bail!("{} is not empty; name a directory that does not exist", path.display());
    }
    for (file, template) in FILES {
        write(&path.join(file), &fill_in(template, name, paths::repository())?)?;
    }
    // The versions of the libraries that this checkout was tested with.
    let lock = paths::repository().join("Cargo.lock");
    std::fs::copy(&lock, path.join("Cargo.lock"))
        .with_context(|| format!("cannot copy {}", lock.display()))?;
    Ok(name)
}

/// Writes a file and the directories that it is in.
fn write(path: &Path, content: &str) -> Result<()> {
    let directory = path.parent().context("a file is in a directory")?;
    std::fs::create_dir_all(directory).with_context(|| {
        format!("cannot make the directory {}; choose another place", directory.display())
    })?;
    std::fs::write(path, content).with_context(|| format!("cannot write {}", path.display()))
}

/// Whether cargo takes `name` for a package.
fn check_name(name: &str) -> Result<()> {
    let letters = name.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_');
    ensure!(
        letters && name.starts_with(|c: char| c.is_ascii_alphabetic()),
        "an app is called by letters, digits, - and _, a letter first; `{name}` is not"
    );
    // Names of crates that every program has, or that ours depends on.
    let taken = ["core", "alloc", "std", "test", "proc_macro", "mayfly", "log"];
    ensure!(!taken.contains(&name), "`{name}` is the name of a library; choose another");
    Ok(())
}

/// Puts the name and the checkout into a template.
fn fill_in(template: &str, name: &str, checkout: &Path) -> Result<String> {
    let checkout = checkout.to_str().context("the path of this checkout is not UTF-8")?;
    // As it has to stand between the double quotes of TOML.
    let checkout = checkout.replace('\\', "\\\\").replace('"', "\\\"");
    Ok(template.replace("@NAME@", name).replace("@MAYFLY@", &checkout))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::temporary::TemporaryDirectory;

    #[test]
    fn names_are_those_that_cargo_takes() {
        for name in ["myapp", "my-app_2"] {
            check_name(name).unwrap();
        }
        for name in ["", "2app", "my app", "core", "-x", "mayfly"] {
            assert!(check_name(name).is_err(), "{name}");
        }
    }

    #[test]
    fn nothing_is_left_open_in_the_files() {
        for (_, template) in FILES {
            let text = fill_in(template, "myapp", Path::new("/a/mayfly")).unwrap();
            assert!(!text.contains("@NAME@") && !text.contains("@MAYFLY@"));
        }
        let manifest = fill_in(FILES[0].1, "myapp", Path::new("/a/may\"fly")).unwrap();
        assert!(manifest.contains(r#"path = "/a/may\"fly/kernel""#));
    }

    #[test]
    fn places_in_the_checkout_are_refused() {
        let directory = TemporaryDirectory::new().unwrap();
        let checkout = directory.path().join("mayfly");
        std::fs::create_dir(&checkout).unwrap();
        std::os::unix::fs::symlink(&checkout, directory.path().join("link")).unwrap();
        for inside in ["mayfly", "mayfly/app", "mayfly/some/app", "link/app"] {
            let error = ensure_outside(&directory.path().join(inside), &checkout).unwrap_err();
            assert!(error.to_string().contains("choose a place outside"), "{error}");
        }
        for outside in ["app", "mayfly-app", "some/app"] {
            ensure_outside(&directory.path().join(outside), &checkout).unwrap();
        }
    }

    #[test]
    fn a_directory_with_something_in_it_is_left_alone() {
        let directory = TemporaryDirectory::new().unwrap();
        let path = directory.path().join("myapp");
        assert_eq!(create(&path).unwrap(), "myapp");
        assert!(path.join(".cargo/config.toml").is_file());
        let again = create(&path).unwrap_err().to_string();
        assert!(again.contains("not empty"));
    }
}
