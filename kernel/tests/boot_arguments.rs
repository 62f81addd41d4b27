//! Boot arguments as an app uses them: derive, parse, help, errors.
#![forbid(unsafe_code)]

use core::{
    net::{IpAddr, Ipv4Addr},
    time::Duration,
};

use mayfly::{
    BootArguments,
    config::{ConfigError, Value},
};
use proptest::prelude::*;

#[derive(Clone, Copy, Debug, PartialEq)]
enum Colour {
    Red,
    Blue,
}

impl Value for Colour {
    const EXPECTS: &'static str = "red or blue";

    fn parse(text: &str) -> Option<Self> {
        match text {
            "red" => Some(Self::Red),
            "blue" => Some(Self::Blue),
            _ => None,
        }
    }
}

const LIMIT: usize = 4;

#[derive(BootArguments, Debug, PartialEq)]
struct Args {
    /// TCP port
    /// to listen on.
    #[arg(default = 80)]
    port: u16,
    /// Name to answer to.
    name: Option<String>,
    verbose: bool,
    #[arg(default = true)]
    cache: bool,
    trace: Option<bool>,
    peers: Vec<IpAddr>,
    #[arg(default = "10.0.0.1")]
    router: Ipv4Addr,
    #[arg(default = LIMIT * 1024)]
    max_size: usize,
    #[arg(name = "colour", default = Colour::Red)]
    paint: Colour,
    #[arg(default = Duration::from_secs(5))]
    timeout: Duration,
}

#[derive(mayfly::BootArguments, Debug, PartialEq)]
struct Needy {
    disk: String,
    r#type: u8,
}

#[derive(mayfly::BootArguments, Debug, PartialEq)]
struct Nothing;

fn error(line: &str) -> String {
    Args::parse(line).expect_err("refused").to_string()
}

#[test]
fn nothing_given_means_the_defaults() {
    let expected = Args {
        port: 80,
        name: None,
        verbose: false,
        cache: true,
        trace: None,
        peers: vec![],
        router: Ipv4Addr::new(10, 0, 0, 1),
        max_size: 4096,
        paint: Colour::Red,
        timeout: Duration::from_secs(5),
    };
    assert_eq!(Args::parse(""), Ok(expected));
    assert_eq!(Nothing::parse("ip=dhcp"), Ok(Nothing));
}

#[test]
fn everything_given_is_taken() {
    let line = "port=8080 --name='front door' verbose cache=no trace=on peers=10.0.0.1,fd00::1 \
                -- peers=10.0.0.2 router=1.2.3.4 max-size=1 colour=blue timeout=20ms";
    let args = Args::parse(line).expect("accepted");
    assert_eq!((args.port, args.name.as_deref()), (8080, Some("front door")));
    assert_eq!((args.verbose, args.cache, args.trace), (true, false, Some(true)));
    assert_eq!(args.peers.len(), 3);
    assert_eq!((args.max_size, args.paint), (1, Colour::Blue));
    assert_eq!(args.timeout, Duration::from_millis(20));
}

#[test]
fn keys_of_the_system_are_skipped() {
    let line = "ip=10.0.0.2/24 gateway=10.0.0.1 dns=1.1.1.1 ip6=auto log=debug mayfly.exit=halt \
                virtio_mmio.device=512@0xfeb00e00:12 virtio_mmio.device=512@0xfeb00c00:13 port=1";
    assert_eq!(Args::parse(line).map(|args| args.port), Ok(1));
}

#[test]
fn errors_name_the_key_and_say_what_to_do() {
    assert_eq!(error("prot=1"), "unknown boot argument `prot`; did you mean `port`?");
    assert!(error("zzzzzzzz").contains("this app knows port, name, verbose"));
    assert_eq!(
        error("port"),
        "boot argument `port` needs a value; write port=VALUE: a whole \
                               number from 0 to 65535"
    );
    assert_eq!(
        error("port=70000"),
        "boot argument `port` is `70000`, but it must be a whole \
                                     number from 0 to 65535"
    );
    assert_eq!(
        error("colour=pink"),
        "boot argument `colour` is `pink`, but it must be red or blue"
    );
    assert_eq!(error("max_size=1 max-size=2"), "boot argument `max-size` is given twice; keep one");
    assert!(error("name='x").contains("not closed"));
    assert!(error("verbose=perhaps").contains("yes or no"));
    assert!(error("peers=10.0.0.1,x").contains("`x`"));
    assert!(error("=1").contains("unknown"));
    let missing = Needy::parse("type=1").expect_err("refused").to_string();
    assert_eq!(missing, "boot argument `disk` is missing; add disk=VALUE: text");
    assert!(Nothing::parse("a=1").expect_err("refused").to_string().contains("takes none"));
}

#[test]
fn help_lists_the_keys() {
    let help = Args::parse("port=1 --help").expect_err("asks for help");
    assert!(matches!(help, ConfigError::Help(_)));
    let text = help.to_string();
    assert!(text.contains("TCP port to listen on. [a whole number from 0 to 65535; default: 80]"));
    assert!(text.contains("  verbose           [yes or no]\n"));
    assert!(text.contains("default: LIMIT * 1024"));
    assert!(text.contains("--help"));
    assert!(matches!(Needy::parse("help"), Err(ConfigError::Help(_))));
}

proptest! {
    #[test]
    fn no_command_line_panics(line in any::<String>()) {
        if let Err(error) = Args::parse(&line) {
            prop_assert!(error.to_string().is_ascii());
        }
    }

    #[test]
    fn nor_one_made_of_the_right_pieces(
        words in prop::collection::vec(
            "(--)?(port|peers|verbose|name|help|[a-z]{0,5})(=[0-9a-z,.:'\"\\\\ -]{0,12})?", 0..12
        ),
    ) {
        if let Err(error) = Args::parse(&words.join(" ")) {
            prop_assert!(!error.to_string().is_empty());
        }
    }

    #[test]
    fn numbers_come_back(port: u16, size in 0..u32::MAX) {
        let args = Args::parse(&format!("max-size={size} port={port}")).expect("accepted");
        prop_assert_eq!((args.port, args.max_size), (port, size as usize));
    }
}
