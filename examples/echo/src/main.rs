//! Sends back what it gets, on TCP and UDP port 7: RFC 862.
//!
//! `cargo xtask run echo`, and then `nc 127.0.0.1 PORT` with the port that it prints. The tutorial
//! page is `docs/guide/echo.md`.
#![no_std]
#![no_main]
#![forbid(unsafe_code)]

use core::{net::SocketAddr, num::NonZeroU16, time::Duration};

use mayfly::{
    BootArguments, Machine, executor, log,
    net::{Error, Network, TcpListener, TcpStream, UdpSocket},
    time,
};

/// How long a peer may take to acknowledge the end of what was sent back to it.
const LAST_BYTES: Duration = Duration::from_secs(30);

#[derive(BootArguments)]
struct Arguments {
    /// Port to listen on, for both protocols.
    #[arg(default = "7")]
    port: NonZeroU16,
}

#[mayfly::main]
async fn main(machine: Machine) -> mayfly::Result<()> {
    let arguments: Arguments = machine.arguments()?;
    let port = arguments.port.get();
    let network = machine.network().await?;
    for (address, _) in network.addresses() {
        log::info!("echo on {}", SocketAddr::new(address, port));
    }

    // Two services, one task each. This one ends with an error only if the network is gone, and
    // then the other one does, too.
    let socket = UdpSocket::bind(&network, port).await?;
    mayfly::spawn_named("udp echo", async move {
        if let Err(error) = datagrams(&socket).await {
            log::error!("UDP echo ends: {error}");
        }
    })
    .detach();
    connections(&network, port).await
}

/// Sends every datagram back to where it came from.
async fn datagrams(socket: &UdpSocket) -> Result<(), Error> {
    loop {
        let datagram = socket.recv().await?;
        match socket.reply(&datagram, datagram.payload()).await {
            Err(Error::DeviceGone) => return Err(Error::DeviceGone),
            // UDP may lose datagrams; the next one is another matter.
            Err(error) => log::debug!("{}: {error}", datagram.peer()),
            Ok(()) => {}
        }
    }
}

/// Accepts connections and gives each of them a task.
async fn connections(network: &Network, port: u16) -> mayfly::Result<()> {
    let mut listener = TcpListener::bind(network, port).await?;
    loop {
        let (stream, peer) = listener.accept().await?;
        let task = executor::try_spawn("tcp echo", async move {
            if let Err(error) = echo(stream).await {
                log::debug!("{peer}: {error}");
            }
        });
        match task {
            Ok(task) => task.detach(),
            // The stream is dropped, which ends the connection; others go on.
            Err(error) => log::debug!("{peer} is turned away: {error}"),
        }
    }
}

/// Sends back what comes until the peer has sent its last, and sees to it that all of it arrives.
async fn echo(mut stream: TcpStream) -> Result<(), Error> {
    let mut buffer = [0; 1024];
    loop {
        let count = stream.read(&mut buffer).await?;
        match buffer.get(..count) {
            Some(bytes) if count > 0 => stream.write_all(bytes).await?,
            _ => break,
        }
    }
    time::timeout(LAST_BYTES, stream.close()).await.unwrap_or(Err(Error::TimedOut))
}
