//! Boot arguments: any command line gives arguments or an error that can be shown.
#![no_main]

use core::{net::IpAddr, time::Duration};

use libfuzzer_sys::fuzz_target;
use mayfly::{BootArguments, config};

#[derive(BootArguments, Debug)]
#[expect(dead_code, reason = "parsing them is the point")]
struct Arguments {
    #[arg(default = 80)]
    port: u16,
    name: Option<String>,
    verbose: bool,
    peers: Vec<IpAddr>,
    #[arg(default = "5s")]
    timeout: Duration,
}

fuzz_target!(|line: &str| {
    if let Err(error) = Arguments::parse(line) {
        let text = error.to_string();
        // Errors go to a console, whatever is on the command line.
        assert!(text.bytes().all(|byte| byte == b'\n' || (b' '..=b'~').contains(&byte)));
    }
    config::System::parse(line);
    config::pairs(line).for_each(drop);
    config::words(line).for_each(drop);
});
