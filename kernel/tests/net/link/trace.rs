//! Frames in words, for `MAYFLY_TRACE=1 cargo test … -- --nocapture`.

use mayfly::time::Instant;

/// One line about a frame that `end` has sent.
pub(super) fn describe(end: usize, frame: &[u8]) -> String {
    let time = Instant::now().as_nanos() / 1000 % 100_000_000_000;
    let head = format!("{time:>11} us, from {end}:");
    let tcp = match (frame[12], frame[13]) {
        (8, 0) if frame[23] == 6 => &frame[34..],
        (0x86, 0xdd) if frame[20] == 6 => &frame[54..],
        _ => return format!("{head} {:02x?}", &frame[12..frame.len().min(42)]),
    };
    let number = |at: usize| u32::from_be_bytes([tcp[at], tcp[at + 1], tcp[at + 2], tcp[at + 3]]);
    let short = |at: usize| u16::from_be_bytes([tcp[at], tcp[at + 1]]);
    let flags = "FSRPA".char_indices().filter(|(bit, _)| tcp[13] >> bit & 1 != 0);
    let flags: String = flags.map(|(_, flag)| flag).collect();
    let (from, to, window) = (short(0), short(2), short(14));
    let payload = tcp.len() - usize::from(tcp[12] >> 4) * 4;
    let (sequence, next) = (number(4), number(8));
    format!("{head} {from}>{to} {flags} {sequence}+{payload} ack {next} window {window}")
}
