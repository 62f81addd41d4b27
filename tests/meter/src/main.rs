//! Measures a guest from dom0, and prints numbers. Each of these takes so many seconds:
//!
//! ```text
//! meter send ADDRESS SECONDS              bytes a second to TCP port 9
//! meter receive ADDRESS SECONDS           bytes a second from TCP port 19
//! meter udp|tcp ADDRESS SECONDS           a byte to port 7 and back, so often in a second
//! meter http ADDRESS SECONDS CONNECTIONS  requests a second at port 80
//! ```
//!
//! And these wait for the guest:
//!
//! ```text
//! meter disk ADDRESS ORDER...             bytes a second that it moves to or from its disk
//! meter create CONFIGURATION ADDRESS      microseconds from the start of `xl create` to the first
//!                                         answer to a ping, and to the first byte by HTTP
//! meter unpause NAME ADDRESS              the same, from the moment that a paused guest runs
//! ```
//!
//! And this does not:
//!
//! ```text
//! meter busy NAME                         nanoseconds that the guest has had a processor so far
//! ```
mod boot;
mod bulk;
mod disk;
mod domctl;
mod echo;
mod http;

use std::error::Error;
use std::net::{IpAddr, Ipv4Addr};
use std::process::ExitCode;
use std::time::Duration;

/// How long a guest may take for anything.
const PATIENCE: Duration = Duration::from_secs(100);

type Outcome<T> = Result<T, Box<dyn Error>>;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match run(&arguments) {
        Ok(figures) => {
            println!("{figures}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("meter: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &[&str]) -> Outcome<String> {
    let rate = match *arguments {
        ["send", address, time] => bulk::send(ip(address)?, seconds(time)?)?,
        ["receive", address, time] => bulk::receive(ip(address)?, seconds(time)?)?,
        ["udp", address, time] => echo::datagrams(ip(address)?, seconds(time)?)?,
        ["tcp", address, time] => echo::stream(ip(address)?, seconds(time)?)?,
        ["http", address, time, connections] => {
            http::requests(ip(address)?, seconds(time)?, connections.parse()?)?
        }
        ["disk", address, way, sequence, block, depth, count] => {
            disk::order(ip(address)?, [way, sequence, block, depth, count])?
        }
        ["create", configuration, address] => {
            return boot::create(configuration, address.parse()?);
        }
        ["unpause", name, address] => return boot::unpause(name, address.parse::<Ipv4Addr>()?),
        ["busy", name] => {
            let time = domctl::processor_time(boot::domain(name)?)?;
            return Ok(time.as_nanos().to_string());
        }
        _ => return Err("no such figure; the source says what there is".into()),
    };
    Ok(format!("{rate:.1}"))
}

fn ip(text: &str) -> Outcome<IpAddr> {
    Ok(text.parse()?)
}

fn seconds(text: &str) -> Outcome<Duration> {
    Ok(Duration::from_secs(text.parse()?))
}
