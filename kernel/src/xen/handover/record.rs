//! What a recorder writes down of a SYN, as Synjitsu has published it.
//!
//! Six nodes below `syn`: `sequence`, the client's initial sequence number, as a decimal number with
//! a sign; `tx_isn`, that of this side; `tx_wnd`, the window field; `options`, the options, as an
//! s-expression; `rx_wnd` and `rx_wnd_scaleoffer`, the window and the scale that this side offers.
//! These two are not read: nothing was answered yet, so the client knows of neither, and the answer
//! offers what the buffers are that the connection has here. Of the options, timestamps are not used,
//! which the client sees by the answer (RFC 7323 section 3.2). A recorder may add `time`, in seconds
//! since 1970 as Xen counts them, and then the record has an end (an extension of Mayfly's).

use alloc::string::String;
use core::{fmt, net::SocketAddr, str::FromStr, time::Duration};

use crate::net::SynRecord;

/// The nodes that are read, in this order.
pub(super) const NODES: [&str; 5] = ["sequence", "tx_isn", "tx_wnd", "options", "time"];

/// How long a record is good for. By then its client has given up, or is about to: Linux sends a SYN
/// for two minutes (`tcp_syn_retries` in tcp(7)).
const LIFETIME: Duration = Duration::from_secs(120);

/// What is wrong with a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BadRecord {
    /// This node is missing, or makes no sense.
    Malformed(&'static str),
    /// Nobody waits for an answer any more.
    Stale,
}

impl fmt::Display for BadRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed(node) => write!(f, "its `{node}` is missing or makes no sense"),
            Self::Stale => f.write_str("its client has given up by now"),
        }
    }
}

/// Reads the values of [`NODES`]. `now` is the time of day, if that is known.
pub(super) fn read(
    (local, remote): (SocketAddr, SocketAddr),
    values: &[Option<String>],
    now: Option<Duration>,
) -> Result<SynRecord, BadRecord> {
    let value = |node| {
        let place = NODES.iter().position(|name| *name == node)?;
        values.get(place)?.as_deref()
    };
    if let Some(time) = value("time") {
        let time = time.trim().parse().map(Duration::from_secs);
        let time = time.map_err(|_| BadRecord::Malformed("time"))?;
        if now.is_some_and(|now| now.saturating_sub(time) > LIFETIME) {
            return Err(BadRecord::Stale);
        }
    }
    let sequence = |node| value(node).and_then(sequence).ok_or(BadRecord::Malformed(node));
    let window = value("tx_wnd").and_then(|text| text.trim().parse().ok());
    let options = value("options").and_then(Options::read);
    let options = options.ok_or(BadRecord::Malformed("options"))?;
    Ok(SynRecord {
        local,
        remote,
        sequence: sequence("sequence")?,
        own_sequence: sequence("tx_isn")?,
        window: window.ok_or(BadRecord::Malformed("tx_wnd"))?,
        max_segment_size: options.max_segment_size,
        window_scale: options.window_scale,
        allows_sack: options.allows_sack,
    })
}

/// Reads a record whose nodes have these lines: for the fuzz targets.
#[cfg(feature = "fake")]
pub fn read_lines(text: &str) {
    let mut lines = text.lines().map(|line| (!line.is_empty()).then(|| line.into()));
    let values: [Option<String>; NODES.len()] =
        core::array::from_fn(|_| lines.next().unwrap_or_default());
    let end = SocketAddr::from(([10, 0, 0, 1], 80));
    for now in [None, Some(Duration::ZERO), Some(Duration::MAX)] {
        match read((end, end), &values, now) {
            Ok(record) => assert_eq!(record.local, end),
            // It is for the log, whatever is in the record.
            Err(error) => assert!(alloc::format!("{error}").is_ascii()),
        }
    }
}

/// A sequence number: 32 bits, written with a sign or without.
fn sequence(text: &str) -> Option<u32> {
    let number: i64 = text.trim().parse().ok()?;
    u32::try_from(number).ok().or_else(|| i32::try_from(number).ok().map(|number| number as u32))
}

/// The options of a SYN that matter here.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Options {
    max_segment_size: Option<u16>,
    window_scale: Option<u8>,
    allows_sack: bool,
}

impl Options {
    /// Reads an s-expression such as `((MSS 1460)SACK_ok Noop(Window_size_shift 7))`. Whatever else
    /// is in it is passed over. `None` if an option has no number that has to have one.
    fn read(text: &str) -> Option<Self> {
        let is_between = |letter: char| letter.is_whitespace() || matches!(letter, '(' | ')');
        let mut words = text.split(is_between).filter(|word| !word.is_empty());
        let mut options = Self::default();
        while let Some(word) = words.next() {
            match word {
                "MSS" => options.max_segment_size = Some(number(words.next())?),
                "Window_size_shift" => options.window_scale = Some(number(words.next())?),
                "SACK_ok" => options.allows_sack = true,
                _ => {}
            }
        }
        Some(options)
    }
}

fn number<T: FromStr>(word: Option<&str>) -> Option<T> {
    word?.parse().ok()
}

#[cfg(test)]
mod tests {
    use alloc::{string::ToString, vec::Vec};

    use proptest::prelude::*;

    use super::*;

    const GOOD: [Option<&str>; 5] = [
        Some("-1080000000"),
        Some("452911104"),
        Some("29200"),
        Some("((Window_size_shift 7)Noop(Timestamp 123 0)SACK_ok(MSS 1460))"),
        None,
    ];

    fn read_at(values: &[Option<&str>], now: Option<Duration>) -> Result<SynRecord, BadRecord> {
        let values: Vec<_> = values.iter().map(|value| value.map(ToString::to_string)).collect();
        let ends = ("10.0.0.1:80".parse().unwrap(), "10.0.0.2:5000".parse().unwrap());
        read(ends, &values, now)
    }

    fn with(place: usize, value: Option<&str>) -> Result<SynRecord, BadRecord> {
        let mut values = GOOD;
        values[place] = value;
        read_at(&values, None)
    }

    #[test]
    fn records_are_read_as_they_were_published() {
        let record = read_at(&GOOD, None).unwrap();
        assert_eq!(record.sequence, (-1_080_000_000_i32) as u32);
        assert_eq!((record.own_sequence, record.window), (452_911_104, 29_200));
        assert_eq!((record.max_segment_size, record.window_scale), (Some(1460), Some(7)));
        assert!(record.allows_sack);
        assert_eq!(with(0, Some("4294967295\n")).unwrap().sequence, u32::MAX);
        let bare = with(3, Some("()")).unwrap();
        assert_eq!(
            (bare.max_segment_size, bare.window_scale, bare.allows_sack),
            (None, None, false)
        );
        let spaced = with(3, Some("( ( MSS 536 )\n SACK_ok )")).unwrap();
        assert_eq!((spaced.max_segment_size, spaced.allows_sack), (Some(536), true));
    }

    #[test]
    fn what_makes_no_sense_is_named() {
        for (place, values) in [
            (0, &["", "x", "4294967296", "-2147483649", "1 2"][..]),
            (1, &["", "-"]),
            (2, &["65536", "-1", ""]),
            (3, &["((MSS))", "(MSS 65536)", "(Window_size_shift 256)", "(MSS"]),
            (4, &["", "-1", "soon"]),
        ] {
            for value in values {
                let error = with(place, Some(value));
                assert_eq!(error, Err(BadRecord::Malformed(NODES[place])), "{value}");
            }
        }
        for (place, name) in NODES.iter().enumerate().take(4) {
            assert_eq!(with(place, None), Err(BadRecord::Malformed(name)));
        }
        assert!(read_at(&[], None).is_err());
    }

    #[test]
    fn records_end_with_the_patience_of_their_client() {
        let mut values = GOOD;
        values[4] = Some("1000");
        assert!(read_at(&values, None).is_ok());
        assert!(read_at(&values, Some(Duration::from_secs(900))).is_ok());
        assert!(read_at(&values, Some(Duration::from_secs(1120))).is_ok());
        assert_eq!(read_at(&values, Some(Duration::from_secs(1121))), Err(BadRecord::Stale));
    }

    proptest! {
        #[test]
        fn nothing_that_is_written_does_harm(
            values in prop::collection::vec(prop::option::of(".{0,60}"), 0..6),
            options in "[()MSWTN a-z_0-9]{0,80}",
        ) {
            let values: Vec<_> = values.iter().map(|value| value.as_deref()).collect();
            let _ = read_at(&values, Some(Duration::MAX));
            let _ = with(3, Some(&options));
        }
    }
}
