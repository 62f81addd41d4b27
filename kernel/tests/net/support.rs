//! What most tests begin with.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    time::Duration,
};

use mayfly::{
    net::{Ipv4Config, Ipv6Config, NetConfig, Network, TcpListener, TcpOptions, TcpStream},
    spawn,
    time::timeout,
};

use crate::link::{Faults, Link};

pub const SERVER: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1));
pub const CLIENT: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 2));

/// Runs a test in virtual time, for at most an hour of it.
pub fn simulate<T>(test: impl Future<Output = T>) -> T {
    simulate_for(1, test)
}

/// The same for at most so many hours.
pub fn simulate_for<T>(hours: u64, test: impl Future<Output = T>) -> T {
    mayfly_arch::simulation::start();
    mayfly::executor::run(async {
        timeout(Duration::from_secs(hours * 3600), test).await.expect("the test hangs")
    })
}

pub fn static_config(last: u8) -> NetConfig {
    let address = Ipv4Addr::new(10, 0, 0, last);
    NetConfig { seed: last.into(), ..NetConfig::with_static_ipv4(address, 24, None) }
}

/// fd00:: and `last`.
pub fn ipv6_config(last: u16) -> Ipv6Config {
    Ipv6Config {
        autoconfigure: false,
        addresses: vec![(Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, last), 64)],
        ..Ipv6Config::default()
    }
}

/// Two networks on one link that speak IPv6 only: fd00::1 and fd00::2.
pub fn pair_v6(faults: Faults, seed: u64) -> (Link, Network, Network) {
    let (link, a, b) = Link::new(faults, seed);
    let config = |last: u16| NetConfig {
        ipv4: Ipv4Config::Off,
        ipv6: ipv6_config(last),
        seed: last.into(),
        ..NetConfig::default()
    };
    (link, Network::start(a.boxed(), config(1)), Network::start(b.boxed(), config(2)))
}

pub fn server_v6(port: u16) -> SocketAddr {
    SocketAddr::new(IpAddr::V6(Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 1)), port)
}

/// Two networks on one link: 10.0.0.1 and 10.0.0.2.
pub fn pair(faults: Faults, seed: u64) -> (Link, Network, Network) {
    let (link, a, b) = Link::new(faults, seed);
    let server = Network::start(a.boxed(), static_config(1));
    let client = Network::start(b.boxed(), static_config(2));
    (link, server, client)
}

/// A link, the two networks on it, and a connection from the second one to port 80 of the first: the
/// stream that was accepted, and the one that has connected.
pub type Connected = ((Link, Network, Network), TcpStream, TcpStream);

pub async fn connected(faults: Faults) -> Connected {
    connected_with(faults, TcpOptions::default(), TcpOptions::default()).await
}

/// The same, with the options of each side.
pub async fn connected_with(
    faults: Faults,
    accepts: TcpOptions,
    connects: TcpOptions,
) -> Connected {
    let (link, a, b) = pair(faults, 1);
    let mut listener = TcpListener::bind_with(&a, 80, 1, accepts).await.unwrap();
    let stream = TcpStream::connect_with(&b, server(80), connects).await.unwrap();
    let (accepted, _) = listener.accept().await.unwrap();
    ((link, a, b), accepted, stream)
}

/// How many runs a random test makes, and with which seeds: `MAYFLY_SEED=1000 MAYFLY_SEEDS=500`.
pub fn seeds() -> std::ops::Range<u64> {
    let number = |name: &str| std::env::var(name).ok().map(|value| value.parse::<u64>().unwrap());
    let first = number("MAYFLY_SEED").unwrap_or(0);
    first..first + number("MAYFLY_SEEDS").unwrap_or(20)
}

pub fn server(port: u16) -> SocketAddr {
    SocketAddr::new(SERVER, port)
}

/// Bytes that differ everywhere, so that any mix-up shows.
pub fn pattern(length: usize, seed: u64) -> Vec<u8> {
    let mut dice = crate::link::Dice(seed);
    (0..length.div_ceil(8)).flat_map(|_| dice.next().to_le_bytes()).take(length).collect()
}

/// Accepts for ever and answers each line with itself, in tasks of their own.
pub fn serve_lines(mut listener: TcpListener) {
    spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            spawn(async move {
                let mut buffer = [0; 512];
                while let Ok(length @ 1..) = stream.read(&mut buffer).await {
                    if stream.write_all(&buffer[..length]).await.is_err() {
                        break;
                    }
                }
            })
            .detach();
        }
    })
    .detach();
}
