//! A second console that xl makes, and whose back end is QEMU's.

use anyhow::{Context, Result};

use super::{Guest, SCRIPTS, package};
use crate::app::App;
use crate::arch::Arch;
use crate::build::How;
use crate::lab::{QEMU, Session, Xen};
use crate::test::case::{Case, Failure};
use crate::test::lab::Shared;

/// The test guest, and the name of the test.
pub(super) const GUEST: &str = "second_console";
pub(super) const NAME: &str = "lab/xen/channel/x86_64";

/// What xl starts as QEMU.
const STARTED: &str = "/run/qemu/started";

/// The test. Debian has this QEMU for x86-64 only.
///
/// # Errors
/// If the test guest cannot be found.
pub fn case(machine: &Shared, how: &How) -> Result<Case> {
    let app = App { binary: GUEST.to_owned(), ..package()?.app };
    let how = how.clone();
    Ok(machine.case(NAME.to_owned(), move |session| {
        let result = match bring(session) {
            Ok(()) => run(Guest::of(&app, Arch::X86_64, &how), session),
            Err(error) => Err(error.into()),
        };
        let removed = QEMU.remove(session);
        result.and(removed.map_err(Failure::from))
    }))
}

/// Puts QEMU into dom0.
fn bring(session: &mut Session) -> Result<()> {
    QEMU.fetch(Xen::X86_64)?.send(session)?;
    let place = QEMU.place;
    let script = format!(
        "#!/bin/sh\nLD_LIBRARY_PATH={place} exec {place}/xen-qemu-system-i386 -L {place} \"$@\"\n"
    );
    session.send(STARTED, script.as_bytes())?;
    // It has to have a keyboard, although nobody types at it.
    session.succeed(&format!(
        "chmod +x {STARTED}; mkdir {place}/keymaps && touch {place}/keymaps/en-us"
    ))?;
    Ok(())
}

fn run(mut guest: Guest, session: &mut Session) -> Result<(), Failure> {
    let script = SCRIPTS.iter().find(|script| script.name == "console.sh");
    guest.script = Some(*script.context("there is no console.sh")?);
    guest.arguments = vec!["stays".into()];
    // The first one gets the number of the primary console, and is not made (libxl 4.17).
    guest.more = format!(
        "channel = [\"connection=pty,name=lost\", \"connection=pty,name=monitor\"]\n\
         device_model_version = \"qemu-xen\"\n\
         device_model_override = \"{STARTED}\"\n"
    );
    guest.succeeds(session, "mayfly-test: PASS").map_err(|failure| {
        let said = session.run("tail -n 20 ./*.xl /var/log/xen/qemu-*.log").map(|said| said.text());
        let output = failure.output.clone() + &said.unwrap_or_default();
        failure.with_output(output)
    })
}
