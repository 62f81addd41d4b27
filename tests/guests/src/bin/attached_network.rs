//! Network cards that come while the guest runs, and go while they are used. dom0 talks to the guest
//! through each, and compares what comes back. The back end of the first has no link for a while, and is
//! away for a while, and a connection goes on when it is back. Others, whose back ends never answer,
//! keep none of them waiting, and the log tells of them.
//@ machine: xen
//@ network: none
//@ arguments: ip=10.99.0.9/24 net1.ip=10.99.0.9/24 net2.ip=10.99.0.9/24 ip6=off
//@ report: device/vif/50: its back end has not connected
//@ report: device/vif/51: its back end has not connected
//@ dom0: attached_network.sh

#![no_std]
#![no_main]
#![forbid(unsafe_code)]

use core::time::Duration;

use mayfly::{
    Machine,
    net::{Error, Network, TcpListener, TcpStream},
    time,
};

const ROUNDS: usize = 3;
const PATIENCE: Duration = Duration::from_secs(40);

#[mayfly::main]
async fn main(machine: Machine) -> mayfly::Result {
    let store = machine.xen().ok_or("there is no Xen")?.store();
    for round in 0..ROUNDS {
        let stage = async |text: &str| {
            store.write("data/stage", mayfly::alloc::format!("{text}-{round}")).await
        };
        stage("wait").await?;
        let network = soon(machine.attached_network()).await??;
        network.wait_configured().await?;
        let mut listener = TcpListener::bind(&network, 7).await?;
        stage("there").await?;
        // One connection to its end, another until the card is gone.
        let (stream, _) = soon(listener.accept()).await??;
        guests::check(echo(stream).await.is_ok(), "the first connection broke")?;
        if round == 0 {
            guests::check(network.is_link_up(), "it has no link")?;
            let (stream, _) = soon(listener.accept()).await??;
            mayfly::spawn(echo(stream)).detach();
            for [without, with] in [["unplugged", "plugged"], ["down", "up"]] {
                soon(network.wait_link(false)).await??;
                stage(without).await?;
                soon(network.wait_link(true)).await??;
                stage(with).await?;
            }
        }
        let (stream, _) = soon(listener.accept()).await??;
        stage("busy").await?;
        let error = soon(echo(stream)).await?.err();
        guests::check(error == Some(Error::DeviceGone), "the connection did not hear of it")?;
        gone(&network).await?;
        guests::check(machine.networks().await == round + 1, "the cards have other numbers")?;
    }
    // Somebody who waits for the silent ones is told of them.
    let nobody = time::timeout(Duration::from_secs(11), machine.attached_network()).await;
    guests::check(nobody.is_err(), "a card connects whose back end is silent")?;
    guests::pass()
}

/// Sends back what comes, to the end.
async fn echo(mut stream: TcpStream) -> Result<(), Error> {
    let mut buffer = [0; 4096];
    loop {
        let count = stream.read(&mut buffer).await?;
        match buffer.get(..count) {
            Some(part) if count > 0 => stream.write_all(part).await?,
            _ => return stream.close().await,
        }
    }
}

/// Waits until the card is known to be gone.
async fn gone(network: &Network) -> mayfly::Result {
    let is_gone = async { while network.changed().await.is_ok() {} };
    soon(is_gone).await?;
    let error = soon(TcpListener::bind(network, 8).await?.accept()).await?.err();
    guests::check(error == Some(Error::DeviceGone), "somebody connects through a card that is gone")
}

/// What `work` comes to, unless it takes too long.
async fn soon<T>(work: impl Future<Output = T>) -> Result<T, &'static str> {
    time::timeout(PATIENCE, work).await.map_err(|_| "it takes too long")
}
