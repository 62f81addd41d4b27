//! Moves bytes as fast as it can: all that is sent to TCP port 9 is discarded (RFC 863), and port
//! 19 sends without end (RFC 864). `cargo xtask bench linux` measures it.
#![no_std]
#![no_main]
#![forbid(unsafe_code)]

use mayfly::{
    Machine, log,
    net::{Error, Network, TcpListener, TcpStream},
};

/// Bytes moved at a time.
const CHUNK: usize = 16 * 1024;

#[mayfly::main]
async fn main(machine: Machine) -> mayfly::Result<()> {
    let network = machine.network().await?;
    for (address, _) in network.addresses() {
        log::info!("discarding at {address} port 9, generating at port 19");
    }
    let other = network.clone();
    mayfly::spawn_named("generate", async move {
        if let Err(error) = serve(&other, 19, generate).await {
            log::error!("nothing is generated any more: {error}");
        }
    })
    .detach();
    Ok(serve(&network, 9, discard).await?)
}

/// Accepts connections and gives each of them a task.
async fn serve<F>(
    network: &Network,
    port: u16,
    service: impl Fn(TcpStream) -> F + Copy,
) -> Result<(), Error>
where
    F: Future<Output = Result<(), Error>> + 'static,
{
    let mut listener = TcpListener::bind(network, port).await?;
    loop {
        let (stream, peer) = listener.accept().await?;
        let work = service(stream);
        mayfly::spawn(async move {
            if let Err(error) = work.await {
                log::debug!("{peer}: {error}");
            }
        })
        .detach();
    }
}

async fn discard(mut stream: TcpStream) -> Result<(), Error> {
    let mut buffer = mayfly::alloc::vec![0; CHUNK];
    while stream.read(&mut buffer).await? > 0 {}
    Ok(())
}

/// Until the peer has had enough.
async fn generate(mut stream: TcpStream) -> Result<(), Error> {
    let bytes = mayfly::alloc::vec![b'.'; CHUNK];
    loop {
        stream.write_all(&bytes).await?;
    }
}
