//! A guest that serves while its instructions are counted.

use std::time::Duration;

use anyhow::Result;

use super::counter::Counter;
use crate::app::App;
use crate::arch::Arch;
use crate::build::{self, How, Image};
use crate::run::{Hardware, Network, Protocol, answers, declared};
use crate::setup;
use crate::test::TestGuest;

/// How long a guest may take to serve.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// What the HTTP example says when it can be asked.
const SERVES: &str = "serving http://";

/// A running example and its counter.
pub struct Live {
    /// The guest, on the user-mode network.
    pub guest: TestGuest,
    /// Counts its instructions.
    pub counter: Counter,
}

/// Builds the release image of an example.
pub fn image(example: &str, arch: Arch) -> Result<(App, Image)> {
    setup::programs(&[arch.qemu()])?;
    let app = App::find(example, None)?;
    let image = build::build(&app, arch, &How { release: true, ..How::default() })?;
    Ok((app, image))
}

impl Live {
    /// Starts an example.
    pub fn start(example: &str, arch: Arch) -> Result<Self> {
        let (app, image) = image(example, arch)?;
        let counter = Counter::new(Vec::new())?;
        let network = Network::User(declared(&app.metadata)?);
        let extra = counter.qemu_arguments();
        let guest = TestGuest::start_with(&image, Hardware::default(), network, &[], extra)?;
        Ok(Self { guest, counter })
    }

    /// Waits until the guest answers an HTTP request; gives the port of this machine.
    ///
    /// It is not asked before it says that it serves: QEMU would go on for a minute to knock for
    /// attempts that have long been given up.
    pub fn http_port(&mut self) -> Result<u16> {
        let port = self.guest.port(80, Protocol::Http)?;
        let serves = |console: &str| console.contains(SERVES).then_some(());
        self.guest.until("word that it serves", PATIENCE, serves)?;
        self.guest.until("answer to an HTTP request", PATIENCE, |_| answers(port).then_some(()))?;
        Ok(port)
    }
}
