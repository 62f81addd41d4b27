//! A disk whose back end takes barriers and no flushes, as old ones do: a front end asks for a flush by
//! an empty barrier then.
//!
//! Linux' blkback takes both, and says so at the same moment at which it is connected. So the guest
//! stands still in that moment, and dom0 takes the word about flushes back. That it is a barrier then
//! which comes to blkback, which counts both as one, is a matter of the driver's own tests; that blkback
//! does an empty one is what is seen here.

use anyhow::{Result, ensure};

use super::FIRST;
use super::agent::{Agent, until};

/// The guest connects again, and finds barriers only; what it writes then arrives, flushed.
pub fn only(agent: &mut Agent<'_>) -> Result<()> {
    offer_only_barriers(agent)?;
    let back = agent.session.succeed(&format!("xenstore-ls backend/vbd/{}/{FIRST}", agent.id))?;
    let offers = ["feature-barrier = \"1\"", "feature-flush-cache = \"0\""];
    ensure!(offers.iter().all(|offer| back.contains(offer)), "blkback offers\n{back}");
    let before = agent.flushes(FIRST)?;
    let file = agent.file.clone();
    agent.filled(0, 1, &file)?;
    let count = agent.flushes(FIRST)? - before;
    ensure!(count == 1, "{count} barriers, or flushes, have come to blkback instead of one");
    agent.same(0, &file)
}

/// Has the guest give its rings to a back end that is not there, and be paused until one is.
fn offer_only_barriers(agent: &mut Agent<'_>) -> Result<()> {
    let (id, name) = (&agent.id, &agent.name);
    let (front, back) =
        (format!("/local/domain/{id}/device/vbd/{FIRST}"), format!("backend/vbd/{id}/{FIRST}"));
    let reaches = |node: &str, state| until(&format!("xenstore-read {node}/state"), state);
    let drivers = "/sys/bus/xen-backend/drivers/vbd";
    let steps = [
        // XenbusStateClosed and XenbusStateInitWait, in place of the driver (io/xenbus.h). The guest
        // answers with Initialising and, with its rings, Connected.
        format!("echo vbd-{id}-{FIRST} >{drivers}/unbind"),
        format!("xenstore-write {back}/state 6"),
        reaches(&front, "1"),
        format!("xenstore-write {back}/state 2"),
        reaches(&front, "4"),
        format!("xl pause {name}"),
        format!("echo vbd-{id}-{FIRST} >{drivers}/bind"),
        reaches(&back, "4"),
        format!("xenstore-write {back}/feature-flush-cache 0"),
        format!("xl unpause {name}"),
    ];
    agent.session.succeed(&steps.join(" && ")).map(drop)
}
