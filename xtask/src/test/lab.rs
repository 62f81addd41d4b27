//! The lab itself: whether real Xen and its dom0 are as the tests of guests need them.

use anyhow::{Result, ensure};

use super::case::{Case, Failure, Verdict};
use crate::arch::Arch;
use crate::lab::{Hardware, Lab, Session, Xen};

/// The case of an architecture that Xen itself can have here.
pub fn cases(arch: Arch) -> Vec<Case> {
    let Some(xen) = Xen::of(arch) else { return Vec::new() };
    vec![Case::counting(format!("lab/dom0/{arch}"), move || verdict(xen))]
}

fn verdict(xen: Xen) -> Verdict {
    let tree = match Lab::fetch(xen) {
        Ok(tree) => tree,
        // Whether Debian's servers can be reached says nothing about the code.
        Err(error) => return Verdict::Skipped(format!("{error:#}")),
    };
    match Lab::assemble(xen, &tree).and_then(|lab| dom0(&lab)) {
        Ok(()) => Verdict::Passed(1),
        Err(error) => Verdict::Failed(Failure::from(error)),
    }
}

/// SHA-256 of the numbers from 0 to 99,999, each in four bytes, the least significant first.
const SUM: &str = "20ff50e632cc575386b15d7fcd9c3842ef435388ed29ae8c30617158ee907dc5";

/// Xen's tools answer, files arrive as they are, and a bridge waits for guests.
fn dom0(lab: &Lab) -> Result<()> {
    let mut session = Session::start(lab, &Hardware::default_of(lab.xen))?;
    let domains = session.succeed("xl list")?;
    ensure!(domains.contains("Domain-0"), "xl lists no dom0:\n{domains}");
    let content: Vec<u8> = (0..100_000_u32).flat_map(u32::to_le_bytes).collect();
    session.send("file", &content)?;
    let sum = session.succeed("sha256sum <file")?;
    ensure!(sum.starts_with(SUM), "the file that was sent has the sum {sum}");
    session.succeed("ip link show xenbr0 && xenstore-read /local/domain/0/domid")?;
    ensure!(session.run("exit 7")?.status == 7, "the status of a command is lost");
    Ok(())
}
