//! Conduit: names, and vchan by them, as client and as server, with dom0 and with a second guest of
//! the same image. What dom0 does meanwhile is in `conduit.sh`.
//@ machine: xen
//@ memory: 8M
//@ network: lab
//@ dom0: conduit.sh
#![no_std]
#![no_main]
#![forbid(unsafe_code)]

use core::time::Duration;

use guests::{check, fail};
use mayfly::{
    BootArguments, Error, JoinHandle, Machine, Result,
    alloc::{string::String, vec::Vec},
    net::{Network, Stream},
    println,
    sync::join,
    time::timeout,
    xen::{Conduit, ConduitError, Store, Vchan, Xen},
};

#[derive(BootArguments)]
struct Args {
    /// This guest is the second one, which has this name.
    #[arg(default = "")]
    name: String,
}

const PATIENCE: Duration = Duration::from_secs(30);

#[mayfly::main]
async fn main(machine: Machine) -> Result {
    let args: Args = machine.arguments()?;
    let Some(xen) = machine.xen() else { return fail("this guest is for Xen") };
    if !args.name.is_empty() {
        return serve(xen.conduit(&args.name).await?).await;
    }
    let early = xen.conduit("guest").await.map(|_| ());
    println!("before dom0 has made the directory: {early:?}");
    check(early == Err(ConduitError::NotThere), "there are names without a place for them")?;
    xen.store().write("data/early", "1").await?;
    wait_for(&xen.store(), "data/go").await?;
    let conduit = xen.conduit("guest").await?;
    resolve(&xen, &conduit).await?;
    // It needs no address.
    let network = machine.network_at(0).await?;
    let early = network.connect("dom0.xen", 7).await;
    println!("before Conduit is used for names: {early:?}");
    check(matches!(early, Err(Error::Missing(_))), "names work without Conduit")?;
    conduit.use_for_names();
    echo(&network, "dom0.xen", 7, b"to dom0").await?;
    be_connected(&conduit).await?;
    wait_for(&xen.store(), "data/peer").await?;
    let (first, second) = join(
        echo(&network, "peer.xen", 80, b"from one guest to another"),
        echo(&network, "PEER.XEN", 81, &[b'x'; 5000]),
    )
    .await;
    check(matches!(&second, Err(Error::Other(_))), "capital letters are another name's")?;
    first?;
    let both = join(
        echo(&network, "peer.xen", 80, b"again"),
        echo(&network, "peer.Xen", 81, &[b'x'; 5000]),
    );
    let (first, second) = both.await;
    first.and(second)?;
    guests::pass()
}

/// Waits for a node that dom0 makes.
async fn wait_for(store: &Store, path: &str) -> Result {
    let mut watch = store.watch(path).await?;
    while store.read(path).await.is_err() {
        watch.next().await?;
    }
    Ok(())
}

async fn resolve(xen: &Xen, conduit: &Conduit) -> Result {
    check(conduit.resolve("guest.xen").await? == xen.domain().await?, "this is another domain")?;
    check(conduit.resolve("dom0").await? == 0, "dom0 is another domain")?;
    let unknown = conduit.resolve("nobody.xen").await;
    check(unknown == Err(ConduitError::Unknown), "there is a domain called nobody")
}

/// Connects by a name, and gets back what it sends.
async fn echo(network: &Network, host: &str, port: u16, data: &[u8]) -> Result {
    let Ok(stream) = timeout(PATIENCE, network.connect(host, port)).await else {
        return fail("the other one does not accept");
    };
    let stream = stream?;
    println!("{host}: {stream:?}");
    let (mut reader, mut writer) = Stream::split(stream);
    let expected = data.len();
    let receive = async move {
        let (mut buffer, mut received) = ([0; 1000], Vec::new());
        while received.len() < expected {
            match reader.read(&mut buffer).await? {
                0 => break,
                count => received.extend_from_slice(&buffer[..count]),
            }
        }
        Ok::<_, mayfly::net::Error>(received)
    };
    let (sent, received) = join(writer.write_all(data), receive).await;
    sent?;
    check(received? == data, "the other one sends back something else")
}

/// dom0 connects, and sends back what it gets.
async fn be_connected(conduit: &Conduit) -> Result {
    let mut requests = conduit.listen().await?;
    let Ok(request) = timeout(PATIENCE, requests.next()).await else {
        return fail("dom0 does not connect");
    };
    let request = request?;
    println!("{request:?}");
    check(request.client() == "dom0" && request.domain() == 0, "it is not dom0")?;
    check(request.port() == "service", "dom0 wants another port")?;
    let Ok(stream) = timeout(PATIENCE, request.accept()).await else {
        return fail("dom0 does not come");
    };
    let (mut stream, mut buffer) = (stream?, [0; 16]);
    stream.write_all(b"from the guest").await?;
    let count = stream.read(&mut buffer).await?;
    check(buffer[..count] == *b"from the guest", "dom0 sends back something else")
}

/// The second guest: sends back what comes, through as many streams as the first makes.
async fn serve(conduit: Conduit) -> Result {
    let mut requests = conduit.listen().await?;
    let mut tasks: [Option<JoinHandle<Result>>; 3] = Default::default();
    for task in &mut tasks {
        let request = requests.next().await?;
        println!("{request:?}");
        check(request.client() == "guest", "it is not the first guest")?;
        *task = Some(mayfly::spawn(async move { send_back(request.accept().await?).await }));
    }
    for task in tasks.into_iter().flatten() {
        task.await??;
    }
    guests::pass()
}

async fn send_back(mut stream: Vchan) -> Result {
    let mut buffer = [0; 1000];
    while let count @ 1.. = stream.read(&mut buffer).await? {
        stream.write_all(&buffer[..count]).await?;
    }
    Ok(())
}
