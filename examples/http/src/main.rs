//! Serves the small web site of `site/`, which is part of the image.
//!
//! `cargo xtask run http`, and open the address that it prints. The tutorial page is
//! `docs/guide/http.md`.
//!
//! The way of a request: `main` accepts a connection and starts a task for it; `connection` reads
//! requests and sends answers; `request` understands the one and `answer` finds the other; `site`
//! is the table of what there is to send.
#![cfg_attr(not(test), no_std)]
#![cfg_attr(not(test), no_main)]
#![forbid(unsafe_code)]

extern crate alloc;

mod answer;
mod connection;
mod range;
mod request;
mod site;

use core::{net::IpAddr, num::NonZeroU16, time::Duration};

use connection::Limits;
use mayfly::{
    BootArguments, Machine, executor, log,
    net::{Error, Network, TcpListener, TcpStream},
    time,
};

#[derive(BootArguments)]
struct Arguments {
    /// TCP port to listen on.
    #[arg(default = "80")]
    port: NonZeroU16,
    /// How long a connection may be idle between two requests.
    #[arg(default = "60s")]
    idle_timeout: Duration,
    /// How long a client may take to send a request.
    #[arg(default = "10s")]
    request_timeout: Duration,
    /// How long a client may take to receive any part of an answer.
    #[arg(default = "30s")]
    write_timeout: Duration,
}

#[mayfly::main]
async fn main(machine: Machine) -> mayfly::Result<()> {
    let arguments: Arguments = machine.arguments()?;
    let limits = Limits {
        idle: arguments.idle_timeout,
        request: arguments.request_timeout,
        write: arguments.write_timeout,
    };

    let network = machine.network().await?;
    let port = arguments.port.get();
    let mut listener = TcpListener::bind(&network, port).await?;
    announce(&network, port);

    loop {
        let (stream, peer) = listener.accept().await?;
        log::debug!("{peer} connects");
        let task = executor::try_spawn("http connection", async move {
            if let Err(error) = answer(stream, limits).await {
                log::debug!("{peer}: {error}");
            }
        });
        match task {
            Ok(task) => task.detach(),
            // The stream is dropped, which ends the connection. Those that are being served will
            // end, too, and give their memory back.
            Err(error) => log::debug!("{peer} is turned away: {error}"),
        }
    }
}

/// Answers a client's requests, and sees to it that the last answer arrives.
async fn answer(mut stream: TcpStream, limits: Limits) -> Result<(), Error> {
    // An answer is written in one piece: its last segment need not wait for the acknowledgement of
    // those before.
    stream.set_nodelay(true);
    connection::serve(&mut stream, limits).await?;
    // Dropping the stream would close it, too, but the system only looks after so many connections
    // that nobody waits for. This one counts as ours until the client has everything.
    time::timeout(limits.write, stream.close()).await.unwrap_or(Err(Error::TimedOut))
}

/// Says where the site is to be found.
fn announce(network: &Network, port: u16) {
    for (address, _) in network.addresses() {
        match address {
            IpAddr::V4(address) => log::info!("serving http://{address}:{port}/"),
            // A URL cannot name a link, which an address of the link needs.
            IpAddr::V6(address) if address.is_unicast_link_local() => {}
            IpAddr::V6(address) => log::info!("serving http://[{address}]:{port}/"),
        }
    }
}
