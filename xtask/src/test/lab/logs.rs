//! Whether Xen, the kernel of dom0 and its tools have something to say about the guests that were run.

use anyhow::{Result, ensure};

use super::{Shared, early};
use crate::lab::Session;
use crate::test::case::Case;

/// What dom0's kernel logs before the first test.
const MARK: &str = "lab: from here on it is about guests";

/// What may be printed: parts of lines.
const HARMLESS: [&str; 23] = [
    MARK,
    // What libxl makes of the first of two channels.
    "Primary console has invalid configuration",
    // oxenstored, of a tool of dom0 that has ended before its answer.
    "closing socket connection: write error: Broken pipe",
    // Xen of x86 copies the state of a processor for a guest that is created.
    " save: ",
    " restore: ",
    // A Linux guest asks for what an interrupt is to be, and on ARM for what Xen does not have.
    ": upcall vector ",
    "Unhandled SMC/HVC: 0x84000050",
    "Unhandled SMC/HVC: 0x8600ff01",
    "vGICD: RAZ on reserved register offset 0x00000c",
    "unhandled word write 0x000000ffffffff to ICACTIVER0",
    // GICD_IGRPMODR1, which is reserved but for the secure state: reading gives zero, and writing does
    // nothing (ARM IHI 0069). A shared line, which only guests without dom0 use, is put into
    // its group by both registers.
    " offset 0x000d04",
    // What a guest says that cannot boot.
    early::COMPLAINT,
    "choose a 64-bit CPU model",
    // There is no NUMA.
    "Unknown online node for memory",
    // Interfaces of guests come and go on the bridge, and disks by blkback.
    "xenbr0: port ",
    "promiscuous mode",
    "link becomes ready",
    "Guest Rx ready",
    ": detected capacity change",
    " queues, protocol ",
    ": prepare for reconnect",
    // A test guest has it fire; another's would be seen by its shutdown reason.
    "Watchdog timer fired for domain",
    // The machine that all this is emulated on may be busy.
    "hrtimer: interrupt took",
];

/// Most lines that are shown.
const SHOWN: usize = 20;

/// Has dom0's kernel forget what it has logged, which is about dom0, and log a mark.
///
/// # Errors
/// If dom0 does not answer.
pub fn begin(session: &mut Session) -> Result<()> {
    session.succeed(&format!("dmesg -c && echo '<6>{MARK}' >/dev/kmsg")).map(drop)
}

/// What the names of the tests start with.
const NAME: &str = "lab/xen/logs";

/// Nothing is in the logs but what is known to be harmless. What the machine has that others have not
/// is in the name of the test.
pub fn case(machine: &Shared, suffix: &str) -> Case {
    machine.case(format!("{NAME}{suffix}/{}", machine.xen.arch()), |session| {
        check(session)?;
        Ok(check_remains(session)?)
    })
}

/// Whether a test called so is one of these, which boot no guest.
pub fn is(name: &str) -> bool {
    name.starts_with(NAME)
}

/// What there is besides when all guests are gone: commands that list it, and what they print.
const REMAINS: [(&str, &str, &str); 5] = [
    ("domains in XenStore", "xenstore-list /local/domain", "0"),
    ("domains", "xl list | tail -n +2 | cut -d' ' -f1", "Domain-0"),
    ("loop devices", "losetup -a", ""),
    ("interfaces", "ls /sys/class/net | grep vif || true", ""),
    // The tools remove directories that have become empty, this one, too.
    ("back ends", "xenstore-ls backend 2>/dev/null || true", ""),
];

/// How often, a second apart, is looked whether it is gone.
const PATIENCE: usize = 10;

/// Nothing is left of the guests.
fn check_remains(session: &mut Session) -> Result<()> {
    for (what, command, expected) in REMAINS {
        // dom0's kernel takes a moment for some.
        let mut text = session.succeed(command)?;
        for _ in 0..PATIENCE {
            if text.trim() != expected {
                text = session.succeed(&format!("sleep 1; {command}"))?;
            }
        }
        ensure!(text.trim() == expected, "these {what} are left:\n{text}");
    }
    Ok(())
}

/// What xl has said of guests that were created, and the daemons of anything: errors and warnings.
const TOOLS: &str =
    "cat /guests/*.xl /var/log/xen/*.log 2>/dev/null | grep -iE 'error:|warning:|fatal'";

fn check(session: &mut Session) -> Result<()> {
    let kernel = session.succeed("dmesg")?;
    ensure!(kernel.contains(MARK), "dom0's kernel has forgotten what it has logged first");
    // What is before that is about dom0.
    let xen = session.console_since_ready();
    let tools = session.run(TOOLS)?.text();
    ensure_usual(kernel.lines().chain(xen.lines()).chain(tools.lines()))
}

/// Fails if a line is not known to be harmless.
///
/// # Errors
/// With these lines, or the first of them.
pub fn ensure_usual<'a>(lines: impl Iterator<Item = &'a str>) -> Result<()> {
    let lines: Vec<&str> = lines.filter(|line| unusual(line)).collect();
    let shown = lines.get(..SHOWN).unwrap_or(&lines).join("\n");
    ensure!(lines.is_empty(), "Xen or dom0 has printed {} lines:\n{shown}", lines.len());
    Ok(())
}

/// How Xen names the processor of the only guest that there is, in what it says about it.
const GUEST: &str = "d1v0";

/// What Xen, which has no other guest, says about one, and is not known to be harmless.
pub fn about_guest(lines: &[String]) -> Vec<&str> {
    let lines = lines.iter().map(String::as_str);
    lines.filter(|line| line.contains(GUEST) && unusual(line)).collect()
}

/// Whether a line is not known to be harmless.
pub fn unusual(line: &str) -> bool {
    !line.trim().is_empty() && !HARMLESS.iter().any(|part| line.contains(part))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_known_to_be_harmless_is_not_unusual() {
        for line in [
            "",
            "(XEN) HVM d34v0 save: TSC_ADJUST",
            "(XEN) HVM34 restore: CPU 0",
            "[    2.568918] Unknown online node for memory at 0x0, assuming node 0",
        ] {
            assert!(!unusual(line), "{line}");
        }
        assert!(unusual("(XEN) d5v0 Triple fault - invoking HVM shutdown action 1"));
        assert!(unusual("[   12.5] xen_netback: guest sent a bad request"));
        let lines =
            ["Freed 348kB init memory.", "d1v0 Unhandled SMC/HVC: 0x84000050", "d1v0 HSR=0x0"];
        assert_eq!(about_guest(&lines.map(String::from)), ["d1v0 HSR=0x0"]);
    }
}
