//! A lab that several tests share.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::{Shared, logs};
use crate::app::App;
use crate::arch::Arch;
use crate::build::{self, How, Image};
use crate::lab::{Hardware, Lab, Session, Xen};
use crate::run::{Forward, Network, Reserved, choose_host_ports};
use crate::temporary::TemporaryFile;
use crate::test::case::{Case, Failure, Verdict};

/// How long dom0 may take to answer after a test has failed.
const PATIENCE: Duration = Duration::from_secs(10);

/// A machine, booted for the first test that needs it. It ends with the last one.
pub struct Machine {
    /// What it runs.
    pub xen: Xen,
    /// The port of this machine that leads to port 80 of a guest.
    pub port: u16,
    /// The files that dom0 has as its disks.
    pub disks: [TemporaryFile; 2],
    hardware: Hardware,
    state: Mutex<State>,
    _ports: Reserved,
}

enum State {
    Off,
    /// It cannot be had here, for this reason.
    Unavailable(String),
    On(Box<Session>),
}

impl Machine {
    /// One that is not booted yet.
    ///
    /// # Errors
    /// If no port is free.
    pub fn new(xen: Xen, hardware: Hardware) -> anyhow::Result<Shared> {
        let mut forwards = ["80/http".parse()?];
        let ports = choose_host_ports(&mut forwards)?;
        let [Forward { host: port, .. }] = forwards;
        let disks = [TemporaryFile::disk("1M")?, TemporaryFile::disk("1M")?];
        let files = disks.iter().map(|disk| disk.path().to_owned()).collect();
        let hardware = hardware.on_network(Network::Closed(forwards.into())).with_disks(files);
        let state = Mutex::new(State::Off);
        Ok(Arc::new(Self { xen, port, disks, hardware, state, _ports: ports }))
    }

    /// A test on the machine.
    pub fn case(
        self: &Arc<Self>,
        name: String,
        test: impl Fn(&mut Session) -> Result<(), Failure> + Send + Sync + 'static,
    ) -> Case {
        let machine = Arc::clone(self);
        Case::counting(name, move || machine.verdict(&test))
    }

    /// A test on the machine, with an example that has been built.
    pub fn with_example(
        self: &Arc<Self>,
        name: &str,
        example: &'static str,
        arch: Arch,
        how: &How,
        test: impl Fn(&mut Session, &App, &Image) -> Result<(), Failure> + Send + Sync + 'static,
    ) -> Case {
        let how = how.clone();
        self.case(format!("lab/xen/{name}/{arch}"), move |session| {
            let app = App::find(example, None)?;
            let image = build::image_of(&app, arch, &how, &app.binary);
            test(session, &app, &image)
        })
    }

    fn verdict(&self, test: &dyn Fn(&mut Session) -> Result<(), Failure>) -> Verdict {
        let mut state = self.locked();
        if matches!(*state, State::Off) {
            match self.start() {
                Ok(started) => *state = started,
                Err(error) => return Verdict::Failed(Failure::from(error)),
            }
        }
        let session = match &mut *state {
            State::On(session) => session,
            State::Unavailable(reason) => return Verdict::Skipped(reason.clone()),
            State::Off => return Verdict::Failed(Failure::new("the lab is off")),
        };
        match test(session) {
            Ok(()) => Verdict::Passed(1),
            Err(failure) => {
                // The next test gets a fresh one if this is of no more use.
                let patience = std::mem::replace(&mut session.patience, PATIENCE);
                let alive = session.succeed("true").is_ok();
                session.patience = patience;
                if !alive {
                    *state = State::Off;
                }
                Verdict::Failed(failure)
            }
        }
    }

    fn start(&self) -> anyhow::Result<State> {
        let tree = match Lab::fetch(self.xen) {
            Ok(tree) => tree,
            // Whether Debian's servers can be reached says nothing about the code.
            Err(error) => return Ok(State::Unavailable(format!("{error:#}"))),
        };
        let lab = Lab::assemble(self.xen, &tree)?;
        let mut session = Session::start(&lab, &self.hardware)?;
        logs::begin(&mut session)?;
        Ok(State::On(Box::new(session)))
    }

    fn locked(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
