//! `build`: an app crate becomes an image.
//!
//! Cargo compiles the app with flags that never change, so that nothing is compiled twice, and with
//! this program as its linker ([`wrapper`]), which only keeps what is to be linked and, for what
//! ships, optimises it once more ([`optimize`]). Then, at every build, the image is linked at an
//! address of its own ([`base`], [`link`]), once to learn where the functions are and once more
//! with the table of their names ([`symbols`]), and written in the form that loaders take
//! ([`image`]).

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use clap::Args;

use crate::app::App;
use crate::arch::{Arch, ArchChoice};
use crate::paths::Toolchain;
use crate::{setup, ui};

mod base;
mod compile;
pub mod elf;
pub mod image;
mod link;
pub mod names;
mod optimize;
mod symbols;
pub mod wrapper;

pub use compile::prefixes;

/// Builds an image.
#[derive(Args)]
#[command(after_help = "Examples:
  cargo xtask build http                        the example, for x86-64, quickly
  cargo xtask build http --arch all --release   what ships, for every architecture
  cargo xtask build ../myapp --seed 1           an app of your own; the same bytes each time

The last line on standard output is the path of the image. Beside it, with the extension .elf, is
the same image with debug information, for gdb and `cargo xtask symbolize`.")]
pub struct Options {
    #[command(flatten)]
    what: What,
    /// Architecture to build for.
    #[arg(long, value_enum, default_value = "x86_64")]
    arch: ArchChoice,
}

/// What to build an image from, and how: shared by all commands that need an image.
#[derive(Args, Clone, Debug)]
pub struct What {
    /// An example, a directory with an app crate, or guests/NAME for a test guest.
    pub app: String,
    /// The binary, if the app crate has several.
    #[arg(long, value_name = "NAME")]
    pub bin: Option<String>,
    #[command(flatten)]
    pub how: How,
}

/// How to build.
#[derive(Args, Clone, Debug, Default)]
pub struct How {
    /// Build what ships: small and optimised, which takes longer.
    #[arg(long)]
    pub release: bool,
    /// Take the link address from this number instead of at random; the same number gives the same
    /// image.
    #[arg(long, value_name = "N")]
    pub seed: Option<u64>,
    /// Features of the app crate to switch on.
    #[arg(long, value_name = "LIST")]
    pub features: Option<String>,
}

impl How {
    /// The directory that images of this kind are put in.
    pub fn profile(&self) -> &'static str {
        if self.release { "release" } else { "dev" }
    }
}

/// An image that has been built.
#[derive(Clone, Debug)]
pub struct Image {
    /// What it runs on.
    pub arch: Arch,
    /// The file that a loader takes.
    pub path: PathBuf,
    /// The same with symbols and debug information.
    pub elf: PathBuf,
}

impl Options {
    /// Builds, and prints where the images are.
    pub fn execute(&self) -> Result<u8> {
        let app = self.what.find()?;
        for &arch in self.arch.list() {
            println!("{}", build(&app, arch, &self.what.how)?.path.display());
        }
        Ok(0)
    }
}

impl What {
    /// Finds the app.
    pub fn find(&self) -> Result<App> {
        App::find(&self.app, self.bin.as_deref())
    }
}

/// Builds the image of `app` for `arch`.
pub fn build(app: &App, arch: Arch, how: &How) -> Result<Image> {
    setup::rust_target(arch)?;
    let inputs = compile::compile(app, arch, how, std::slice::from_ref(&app.binary))?;
    let inputs = inputs.get(&app.binary).context("cargo has not linked the app")?;
    finish(app, arch, how, &app.binary, inputs)
}

/// Builds the images of several binaries of one package.
pub fn build_all(app: &App, arch: Arch, how: &How, binaries: &[String]) -> Result<Vec<Image>> {
    setup::rust_target(arch)?;
    let inputs = compile::compile(app, arch, how, binaries)?;
    let image = |binary: &String| {
        let inputs =
            inputs.get(binary).with_context(|| format!("cargo has not linked {binary}"))?;
        finish(app, arch, how, binary, inputs)
    };
    binaries.iter().map(image).collect()
}

/// Builds `app` as a Linux process; gives the path of the program.
pub fn build_for_host(app: &App, how: &How) -> Result<PathBuf> {
    compile::compile_for_host(app, how)
}

/// Where [`build`] puts the image of a binary.
pub fn image_of(app: &App, arch: Arch, how: &How, binary: &str) -> Image {
    let directory = app.target_directory.join("mayfly").join(arch.name()).join(how.profile());
    Image { arch, path: directory.join(binary), elf: directory.join(format!("{binary}.elf")) }
}

/// Links what cargo has compiled, and writes the image.
fn finish(
    app: &App,
    arch: Arch,
    how: &How,
    binary: &str,
    inputs: &wrapper::LinkInputs,
) -> Result<Image> {
    let image = image_of(app, arch, how, binary);
    let directory = image.path.parent().context("the image has no directory")?;
    let base = base::choose(arch, how.seed)?;
    ui::progress("Linking", format_args!("{binary} for {arch} at {base:#x}"));

    let linker = link::Linker { toolchain: Toolchain::find()?, arch, base, inputs };
    // Two builds at once must not write to the same files; a rename is all or nothing.
    let work = directory.join(format!(".{binary}.{}", std::process::id()));
    std::fs::create_dir_all(&work).with_context(|| format!("cannot create {}", work.display()))?;
    let made = link_and_write(&linker, &work, &image);
    std::fs::remove_dir_all(&work).ok();
    made.map(|()| image)
}

/// Links in the directory `work`, and moves what came out to where it belongs.
fn link_and_write(linker: &link::Linker<'_>, work: &Path, image: &Image) -> Result<()> {
    let linked = symbols::link_with_table(linker, work)?;
    let bytes = std::fs::read(&linked)?;
    let unfinished = work.join("image");
    std::fs::write(&unfinished, image::write(linker.arch, &bytes)?)
        .with_context(|| format!("cannot write {}", unfinished.display()))?;
    for (from, to) in [(&linked, &image.elf), (&unfinished, &image.path)] {
        std::fs::rename(from, to).with_context(|| format!("cannot write {}", to.display()))?;
    }
    Ok(())
}
