//! `xl-cfg`: how xl is told about an app.

use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use clap::Args;

use crate::app::App;
use crate::arch::Arch;
use crate::build::{self, Image, What};
use crate::{run, ui};

mod config;
mod memory;

pub use config::Config;
pub use memory::least;

/// The hardware address of a guest in the lab, of the range that is Xen's. The network outside
/// remembers it, and gives its owner the address that ports lead to. One guest at a time has it.
pub const LAB_MAC: &str = "00:16:3e:00:00:01";

/// Writes a configuration for xl, to run an app on your own Xen.
#[derive(Args)]
#[command(after_help = "Examples:
  cargo xtask xl-cfg hello > hello.cfg
  cargo xtask xl-cfg http --arch aarch64 --release --memory 8 --output http.cfg
  cargo xtask xl-cfg disk --disk /srv/guests/data.img > disk.cfg
  cargo xtask xl-cfg hello --kernel /srv/guests/hello -- greeting='good morning'

Take the image, whose path is printed, and the configuration to dom0, and there type
  xl create -c hello.cfg
Without a Xen of your own: cargo xtask run hello --on xen")]
pub struct Options {
    #[command(flatten)]
    what: What,
    /// Architecture to build for.
    #[arg(long, value_enum, default_value = "x86_64")]
    arch: Arch,
    /// Memory, in MiB. [default: the least with which the image starts]
    #[arg(long, value_name = "N")]
    memory: Option<u64>,
    /// Where the image is in dom0. [default: its name, in the directory in which xl is started]
    #[arg(long, value_name = "PATH")]
    kernel: Option<String>,
    /// Gives the guest a disk: a file or block device in dom0; may be repeated.
    #[arg(long = "disk", value_name = "PATH")]
    disks: Vec<String>,
    /// Writes to FILE instead of standard output.
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Boot arguments for the app, after `--`.
    #[arg(last = true, value_name = "ARGUMENT")]
    arguments: Vec<String>,
}

impl Options {
    /// Builds the image, and writes.
    pub fn execute(&self) -> Result<u8> {
        let app = self.what.find()?;
        let image = build::build(&app, self.arch, &self.what.how)?;
        let mut config = Config::of(&app, &image, self.memory, &self.arguments)?;
        if let Some(kernel) = &self.kernel {
            config.kernel.clone_from(kernel);
        }
        config.disks.clone_from(&self.disks);
        match &self.output {
            Some(path) => std::fs::write(path, config.text())
                .with_context(|| format!("cannot write {}", path.display()))?,
            None => print!("{}", config.text()),
        }
        ui::progress("Configured", format_args!("for the image {}", image.path.display()));
        Ok(0)
    }
}

impl Config {
    /// The configuration of an app for people. Its memory is the least with which the image starts,
    /// unless another is given.
    ///
    /// # Errors
    /// If the image does not start with the memory, or cannot be read.
    pub fn of(app: &App, image: &Image, memory: Option<u64>, arguments: &[String]) -> Result<Self> {
        let least = least(image)?;
        let memory = memory.unwrap_or(least);
        ensure!(
            memory >= least,
            "the image does not start with {memory} MiB; give it {least} or more"
        );
        Ok(Self {
            name: app.binary.clone(),
            arch: image.arch,
            kernel: app.binary.clone(),
            ramdisk: None,
            native_tsc: false,
            memory,
            least_memory: least,
            arguments: arguments.to_vec(),
            network: !run::declared(&app.metadata)?.is_empty(),
            mac: None,
            disks: Vec::new(),
            preserve: false,
            more: String::new(),
        })
    }

    /// The configuration of an app for the lab, where a guest that has ended stays until it was
    /// looked at.
    ///
    /// # Errors
    /// As for [`of`](Self::of).
    pub fn for_lab(
        app: &App,
        image: &Image,
        memory: Option<u64>,
        arguments: &[String],
    ) -> Result<Self> {
        let config = Self::of(app, image, memory, arguments)?;
        Ok(Self { network: false, mac: Some(LAB_MAC), preserve: true, ..config })
    }
}
