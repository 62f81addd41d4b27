//! The images and programs that tests use. They are built before the first of these tests begins, and
//! only for tests that are asked for.

use anyhow::Result;

use super::{bulk, disks, dom0less, guests, hostile, linux, logs, save, summon};
use crate::app::App;
use crate::arch::Arch;
use crate::build::{self, How};

/// Examples that are run.
const EXAMPLES: [&str; 6] = ["hello", "timer", "disk", "http", "echo", summon::EXAMPLE];

/// Builds what the tests called `names` use.
///
/// # Errors
/// If something cannot be built.
pub fn compile(arches: &[Arch], how: &How, names: &[String]) -> Result<()> {
    for &arch in arches {
        dom0less::compile(arch, how, names)?;
        let mut names = names.to_vec();
        names.retain(|name| boots_under_xl(name, arch));
        compile_for_xl(arch, how, &names)?;
    }
    Ok(())
}

/// Whether it is a test in which xl starts a guest of this architecture.
fn boots_under_xl(name: &str, arch: Arch) -> bool {
    let is_of_arch = name.ends_with(&format!("/{arch}")) || linux::has_guest(name, arch);
    is_of_arch && name.starts_with("lab/xen/") && !logs::is(name)
}

fn compile_for_xl(arch: Arch, how: &How, names: &[String]) -> Result<()> {
    let mut others = guests::compile(arch, how, names)?;
    if others.iter().any(|name| linux::has_guest(name, arch)) {
        linux::compile(arch, how)?;
    }
    others.retain(|name| !linux::has_guest(name, arch));
    if others.is_empty() {
        return Ok(());
    }
    for example in EXAMPLES {
        build::build(&App::find(example, None)?, arch, how)?;
    }
    bulk::compile(arch, how)?;
    summon::compile(arch)?;
    save::compile(arch, how, &others)?;
    if disks::are_among(&others, arch) {
        disks::compile(arch, how)?;
    }
    if hostile::are_among(&others, arch) {
        hostile::compile(arch, how)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_test_needs_images_of_the_architectures_of_its_guests() {
        let needs = |name: &str| {
            [Arch::X86_64, Arch::Aarch64, Arch::Armv7].map(|arch| boots_under_xl(name, arch))
        };
        assert_eq!(needs("lab/xen/http/armv7"), [false, false, true]);
        assert_eq!(needs("lab/xen/log_levels/aarch64"), [false, true, false]);
        assert_eq!(needs("lab/xen/linux/aarch64"), [false, true, true]);
        assert_eq!(needs("lab/xen/logs-gic2/aarch64"), [false; 3]);
        assert_eq!(needs("lab/dom0less/hello/aarch64"), [false; 3]);
        assert_eq!(needs("lab/dom0/x86_64"), [false; 3]);
    }
}
