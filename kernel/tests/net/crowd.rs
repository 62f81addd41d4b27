//! Many connections at once, each side of which may give up at any time.

use std::{
    cell::RefCell, collections::HashMap, future::poll_fn, rc::Rc, task::Poll, time::Duration,
};

use mayfly::{
    JoinHandle,
    net::{Error, Network, TcpListener, TcpStream},
    spawn,
    time::{sleep, timeout},
};

use crate::{
    link::{Dice, Faults},
    support::{pair, pattern, seeds, server, simulate},
};

/// How one side of a connection ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    /// Writes all, and reads until nothing more comes.
    Finish,
    /// Drops the stream when so many bytes have come or gone.
    Drop(usize),
    /// Aborts it then.
    Abort(usize),
}

/// What one side does.
#[derive(Clone, Copy, Debug)]
struct Plan {
    fate: Fate,
    /// Bytes that it writes in all, and at a time.
    length: usize,
    bite: usize,
}

impl Plan {
    fn random(dice: &mut Dice) -> Self {
        let length = dice.below(30_000) as usize;
        let fate = match dice.below(4) {
            0 => Fate::Drop(dice.below(30_000) as usize),
            1 => Fate::Abort(dice.below(30_000) as usize),
            _ => Fate::Finish,
        };
        Self { fate, length, bite: 1 + dice.below(5000) as usize }
    }

    /// The side of `stream` that writes `own`. Returns what has come, and how it ended.
    async fn act(self, mut stream: TcpStream, own: &[u8]) -> (Vec<u8>, Result<(), Error>) {
        // Nobody hears of a reset that is lost.
        stream.set_keep_alive(Some(Duration::from_secs(10)));
        stream.set_timeout(Some(Duration::from_secs(60)));
        let most = match self.fate {
            Fate::Finish => usize::MAX,
            Fate::Drop(most) | Fate::Abort(most) => most,
        };
        let (mut got, mut rest) = (Vec::new(), own);
        let mut result = Ok(());
        let mut buffer = vec![0; self.bite];
        if rest.is_empty() {
            stream.shutdown_write();
        }
        while result.is_ok() && got.len() + own.len() - rest.len() < most {
            let piece = &rest[..rest.len().min(self.bite)];
            match exchange(&mut stream, piece, &mut buffer).await {
                Ok(Done::Read(0)) => {
                    // The other side writes nothing more, but may read.
                    result = stream.write_all(rest).await;
                    break;
                }
                Ok(Done::Read(length)) => got.extend_from_slice(&buffer[..length]),
                Ok(Done::Wrote(length)) => {
                    rest = &rest[length..];
                    if rest.is_empty() {
                        stream.shutdown_write();
                    }
                }
                Err(error) => result = Err(error),
            }
        }
        match self.fate {
            Fate::Abort(_) => stream.abort(),
            Fate::Finish if result.is_ok() => result = stream.close().await,
            _ => {}
        }
        (got, result)
    }
}

enum Done {
    Wrote(usize),
    Read(usize),
}

/// Reads or writes, whichever is possible first.
async fn exchange(stream: &mut TcpStream, piece: &[u8], buffer: &mut [u8]) -> Result<Done, Error> {
    poll_fn(|cx| {
        if let Poll::Ready(result) = stream.poll_read(cx, buffer) {
            return Poll::Ready(result.map(Done::Read));
        }
        if piece.is_empty() {
            return Poll::Pending;
        }
        stream.poll_write(cx, piece).map(|result| result.map(Done::Wrote))
    })
    .await
}

/// What has become of one side: what came, and how it ended.
type Outcome = (Vec<u8>, Result<(), Error>);
/// The two sides of connections, by the port of the client.
type Sides = Rc<RefCell<HashMap<u16, Outcome>>>;

/// As long as a side may take for everything.
const PATIENCE: Duration = Duration::from_secs(600);

/// What a side writes: another stream for each side of each connection.
fn data(port: u16, is_server: bool) -> Vec<u8> {
    pattern(30_000, u64::from(port) * 2 + u64::from(is_server))
}

/// The fates are known to both sides.
fn plan(seed: u64, port: u16, is_server: bool) -> Plan {
    Plan::random(&mut Dice(seed << 20 | u64::from(port) << 1 | u64::from(is_server)))
}

/// Acts on one side.
async fn play(stream: TcpStream, seed: u64, is_server: bool, sides: Sides) {
    let address = if is_server { stream.peer() } else { stream.local() };
    // It may be over already.
    let Some(port) = address.map(|address| address.port()) else { return };
    let (plan, data) = (plan(seed, port, is_server), data(port, is_server));
    let done = timeout(PATIENCE, plan.act(stream, &data[..plan.length])).await;
    let done = done.unwrap_or_else(|_| panic!("{port}, server {is_server}, {plan:?} stands still"));
    sides.borrow_mut().insert(port, done);
}

/// Accepts for ever, or until it is dropped.
async fn accept(mut listener: TcpListener, seed: u64, sides: Sides) {
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        spawn(play(stream, seed, true, Rc::clone(&sides))).detach();
    }
}

/// Connects, sooner or later.
async fn connect(network: Network, delay: Duration, seed: u64, sides: Sides) {
    sleep(delay).await;
    if let Ok(stream) = TcpStream::connect(&network, server(80)).await {
        play(stream, seed, false, sides).await;
    }
}

#[test]
fn a_crowd_that_gives_up_at_any_time() {
    for seed in seeds() {
        let mut dice = Dice(seed ^ 0xc0_3d);
        let faults = Faults::random(&mut dice, 40);
        let (count, backlog) = (1 + dice.below(30) as usize, 1 + dice.below(40) as usize);
        println!("seed {seed}: {count} connections, a backlog of {backlog}, {faults:?}");
        simulate(async move {
            let (_link, a, b) = pair(faults, seed);
            let (servers, clients) = (Sides::default(), Sides::default());
            let listener = TcpListener::bind_with(&a, 80, backlog, Default::default()).await;
            let server = spawn(accept(listener.unwrap(), seed, Rc::clone(&servers)));
            let tasks: Vec<JoinHandle<()>> = (0..count)
                .map(|_| {
                    let delay = Duration::from_millis(dice.below(5000));
                    spawn(connect(b.clone(), delay, seed, Rc::clone(&clients)))
                })
                .collect();
            for task in tasks {
                task.await.unwrap();
            }
            // All the others have been heard of, or are given up.
            sleep(Duration::from_secs(300)).await;
            drop(server);
            check(seed, count <= backlog, &servers.borrow(), &clients.borrow());
            assert_eq!((a.stats().connections, b.stats().connections), (0, 0));
        });
    }
}

/// What has come is what was sent, and all of it where neither side gave up.
fn check(
    seed: u64,
    has_room: bool,
    servers: &HashMap<u16, Outcome>,
    clients: &HashMap<u16, Outcome>,
) {
    for (port, (got, result)) in clients {
        let (own, peer) = (plan(seed, *port, false), plan(seed, *port, true));
        let sent = &data(*port, true)[..peer.length];
        assert!(sent.starts_with(got), "{port}: what came to the client was not sent");
        let Some((there, other)) = servers.get(port) else {
            // Of those whose handshake takes long, a full backlog forgets some.
            let is_told = *result == Err(Error::Reset) && !has_room;
            assert!(own.fate != Fate::Finish || is_told, "{port}, {own:?}: {result:?}");
            continue;
        };
        let own_sent = &data(*port, false)[..own.length];
        assert!(own_sent.starts_with(there), "{port}: what came to the server was not sent");
        if (own.fate, peer.fate) == (Fate::Finish, Fate::Finish) {
            assert_eq!((result, other), (&Ok(()), &Ok(())), "{port}");
            assert!(got == sent && there == own_sent, "{port}: something is missing");
        }
    }
}
