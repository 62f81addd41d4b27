//! A guest on ARM that Xen gives a UART besides the console's ring.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

use super::Shared;
use crate::app::App;
use crate::arch::Arch;
use crate::build::{How, Image};
use crate::lab::{Session, console_log};
use crate::test::case::Case;
use crate::tools::quote;
use crate::xl_cfg::Config;

/// What the guest's configuration says besides.
const UART: &str = "vuart = \"sbsa_uart\"\n";
/// What the app is told, and prints while it runs.
const ARGUMENTS: [&str; 2] = ["count=2", "period=100ms"];
const TEXT: &str = "tick 2";
/// How long that may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// The test, where there is one.
pub fn case(machine: &Shared, arch: Arch, how: &How) -> Option<Case> {
    (arch != Arch::X86_64).then(|| {
        machine.with_example("vuart", "timer", arch, how, |session, app, image| {
            Ok(run(session, app, image)?)
        })
    })
}

fn run(session: &mut Session, app: &App, image: &Image) -> Result<()> {
    let config = Config::for_lab(app, image, None, &ARGUMENTS.map(str::to_owned))?;
    let config = Config { name: format!("vuart-{}", image.arch), ..config };
    session.send_file(&quote(&config.kernel), &image.path)?;
    session.send("vuart.cfg", (config.text() + UART).as_bytes())?;
    session.succeed("xl create vuart.cfg")?;
    // By the ring, and by the UART, which xenconsoled keeps apart.
    let logs = ["", "-vuart0"].map(|which| console_log(&format!("{}{which}", config.name)));
    let start = Instant::now();
    let mut said = [const { String::new() }; 2];
    while !said.iter().all(|text| text.contains(TEXT)) && start.elapsed() < PATIENCE {
        session.succeed("sleep 0.2")?;
        for (log, text) in logs.iter().zip(&mut said) {
            *text = session.run(&format!("cat {log}"))?.text();
        }
    }
    session.succeed(&format!("xl destroy {}; rm -f {}", config.name, logs.join(" ")))?;
    for (log, text) in logs.iter().zip(&said) {
        ensure!(text.contains(TEXT), "there is no `{TEXT}` in {log}:\n{text}");
    }
    Ok(())
}
