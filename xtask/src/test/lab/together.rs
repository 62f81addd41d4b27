//! Several guests at once, all of which dom0 talks to.

use std::time::Duration;

use anyhow::{Result, bail, ensure};

use super::Shared;
use crate::app::App;
use crate::arch::Arch;
use crate::build::{self, How};
use crate::lab::{Domain, Ending, Reason, Session};
use crate::test::case::Case;
use crate::tools::quote;
use crate::xl_cfg::Config;

/// How many there are.
const COUNT: usize = 8;

/// Memory of each, in MiB.
const MEMORY: u64 = 4;

/// Their addresses, but for the last digit.
const NETWORK: &str = "10.99.0.6";

/// What dom0 does with all of them at the same time: waits for an answer to a ping, and has each send
/// back what it is sent.
const TALK: &str = "
    talk() {
        for try in $(seq 100); do
            ping -c 1 -W 1 10.99.0.6$1 >/dev/null && break
        done
        head -c 262144 /dev/urandom >sent.$1
        nc -w 60 10.99.0.6$1 7 <sent.$1 >back.$1
        cmp sent.$1 back.$1 >compared.$1 2>&1
        echo $? >>compared.$1
    }
    talks=
    for number in 0 1 2 3 4 5 6 7; do talk $number & talks=\"$talks $!\"; done
    wait $talks
    cat compared.*
    rm -f sent.* back.* compared.*";

/// What the guests have said, and what dom0 knows of them.
const STATE: &str = "
    xl list
    for log in /var/log/xen/console/guest-echo-*.log; do echo \"$log:\"; tail -n 20 $log; done
    xenstore-ls -f /local/domain | grep /vif/
    ip -s neigh show dev xenbr0
    ip -s link
    dmesg | tail -n 20";

/// How long each step may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// The example echo, many times.
pub fn case(machine: &Shared, arch: Arch, how: &How) -> Case {
    let how = how.clone();
    machine
        .case(format!("lab/xen/eight-at-once/{arch}"), move |session| Ok(run(session, arch, &how)?))
}

fn run(session: &mut Session, arch: Arch, how: &How) -> Result<()> {
    let mut domains = Vec::new();
    let result =
        create(session, arch, how, &mut domains).and_then(|()| run_all(session, &mut domains));
    for domain in domains {
        domain.destroy(session)?;
    }
    result
}

/// Creates them, paused: dom0 takes longer to create eight than they take to run.
fn create(session: &mut Session, arch: Arch, how: &How, domains: &mut Vec<Domain>) -> Result<()> {
    let app = App::find("echo", None)?;
    let image = build::image_of(&app, arch, how, &app.binary);
    session.send_file(&quote(&app.binary), &image.path)?;
    for number in 0..COUNT {
        let address = [format!("ip={NETWORK}{number}/24")];
        let config = Config {
            name: format!("echo-{number}"),
            network: true,
            // Each its own.
            mac: None,
            ..Config::for_lab(&app, &image, Some(MEMORY), &address)?
        };
        domains.push(Domain::create(session, &config, true)?);
    }
    for domain in domains {
        domain.wait_until_there(session, PATIENCE)?;
    }
    Ok(())
}

fn run_all(session: &mut Session, domains: &mut [Domain]) -> Result<()> {
    for domain in &*domains {
        domain.unpause(session)?;
    }
    let compared = session.succeed(&format!("ip neigh flush dev xenbr0 >/dev/null; {TALK}"))?;
    if compared != "0\n".repeat(COUNT) {
        bail!("not all send back what they are sent:\n{compared}{}", session.run(STATE)?.text());
    }
    session.succeed("xl shutdown -a")?;
    for domain in domains {
        let mut bytes = Vec::new();
        let ending = domain.wait(session, PATIENCE, &mut |part| bytes.extend_from_slice(part))?;
        let console = String::from_utf8_lossy(&bytes);
        ensure!(
            ending == Ending { status: 0, reason: Reason::PowerOff },
            "a guest ended with {ending:?}:\n{console}"
        );
    }
    Ok(())
}
