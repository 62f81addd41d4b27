//! What a guest is told to do with its disk, on TCP port 5: `tests/linux-server` and the guest
//! `tests/bulk/src/bin/disk-load.rs` understand it.

use std::io::{Read, Write};
use std::net::IpAddr;
use std::time::Instant;

use crate::Outcome;
use crate::bulk::connect;

/// Bytes a second that it moves. The order is: read or write, sequential or random, bytes of a
/// block, blocks in flight, and number of blocks.
pub fn order(address: IpAddr, order: [&str; 5]) -> Outcome<f64> {
    let [.., block, _, count] = order;
    let bytes = block.parse::<f64>()? * count.parse::<f64>()?;
    let mut stream = connect(address, 5)?;
    let start = Instant::now();
    stream.write_all(format!("{}\n", order.join(" ")).as_bytes())?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let time = start.elapsed();
    match answer.as_str() {
        "done\n" => Ok(bytes / time.as_secs_f64()),
        other => Err(format!("the guest says `{}`", other.trim_end()).into()),
    }
}
