//! Apps that a test runs as Linux processes.

use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::Result;

use super::{TestGuest, record};
use crate::run::{
    Forward, Hardware, Network, Passt, Reserved, choose_host_ports, process_arguments,
};
use crate::test::namespace::{self, Namespace};

impl TestGuest {
    /// Starts an app as a Linux process on a network that only it and its clients are on.
    pub fn start_process_in(
        namespace: Namespace,
        program: &Path,
        hardware: &Hardware,
        arguments: &[String],
    ) -> Result<Self> {
        let network = Network::Tap(namespace::INTERFACE.into());
        let mut command = Command::new(program);
        command.args(process_arguments(hardware, &network, None)?);
        command.arg("--").arg(namespace::BOOT_ARGUMENT).args(arguments);
        let command = namespace.inside(&command);
        let (running, console) = record(&command, Stdio::null())?;
        Ok(Self {
            command,
            running,
            console,
            image: None,
            forwards: Vec::new(),
            namespace: Some(namespace),
            passt: None,
            _ports: Reserved::default(),
        })
    }

    /// Starts an app as a Linux process, on passt.
    pub fn start_process(
        program: &Path,
        hardware: &Hardware,
        mut forwards: Vec<Forward>,
        arguments: &[String],
    ) -> Result<Self> {
        let ports = choose_host_ports(&mut forwards)?;
        let network = Network::User(forwards.clone());
        let passt = Passt::for_network(&network)?;
        let mut command = Command::new(program);
        command.args(process_arguments(hardware, &network, passt.as_ref())?);
        command.arg("--").args(arguments);
        let (running, console) = record(&command, Stdio::null())?;
        let (image, namespace) = (None, None);
        Ok(Self { command, running, console, image, forwards, namespace, passt, _ports: ports })
    }
}
