//! A service that is made when it is needed: it serves a page to clients that came before it was
//! there. Under QEMU there are none of these, and it is a small web server.
//!
//! The tutorial page is `docs/guide/jitsu-guest.md`.
#![no_std]
#![no_main]
#![forbid(unsafe_code)]

use core::time::Duration;

use mayfly::{
    Machine, executor, log,
    net::{Error, TcpListener, TcpStream},
    time,
};

const PAGE: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 38\r\n\
    Connection: close\r\n\r\n<title>Hello</title>\n<p>Just in time.\n";

/// How long a client may take.
const PATIENCE: Duration = Duration::from_secs(30);

#[mayfly::main]
async fn main(machine: Machine) -> mayfly::Result<()> {
    let network = machine.network().await?;
    let mut listener = TcpListener::bind(&network, 80).await?;
    if let Some(xen) = machine.xen() {
        let count = xen.take_over(&network).await?;
        log::info!("{count} clients were there before");
        // Whoever has summoned this guest waits for that.
        xen.store().write("data/ready", "1").await?;
    }
    loop {
        let (stream, peer) = listener.accept().await?;
        let task = executor::try_spawn("client", async move {
            if let Err(error) = time::timeout(PATIENCE, serve(stream)).await {
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

/// Sends the page, whatever is asked for.
async fn serve(mut stream: TcpStream) -> Result<(), Error> {
    let (mut buffer, mut length) = ([0; 1024], 0);
    while !buffer[..length].windows(4).any(|end| end == b"\r\n\r\n") {
        match stream.read(&mut buffer[length..]).await? {
            // It says no more, or too much.
            0 => return Ok(()),
            count => length += count,
        }
    }
    stream.write_all(PAGE).await?;
    stream.close().await
}
