//! One connection: requests in, answers out, until one side has enough.

use alloc::vec::Vec;
use core::time::Duration;

use mayfly::time::{Instant, Watchdog, timeout_at};

use crate::{
    answer::{Answer, Status},
    request::{self, Parsed},
};

/// Most bytes of a request's head.
const MAX_HEAD: usize = 4096;

/// How long a client may take.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Between two requests.
    pub idle: Duration,
    /// To send the head of a request, from its first byte on: what a slow-loris attack stretches.
    pub request: Duration,
    /// To take any part of an answer.
    pub write: Duration,
}

/// What a connection must be able to do: a `TcpStream`, or a client in a test.
pub trait Stream {
    /// Why it is broken.
    type Error;

    /// Waits for bytes and shows them to `look`, which returns how many it has used, and a result.
    /// At the end of the stream it is shown none.
    async fn read_with<R>(
        &mut self,
        look: impl FnMut(&[u8]) -> (usize, R),
    ) -> Result<R, Self::Error>;

    /// Takes the start of `bytes`, and returns how many that were; waits until it can take some.
    async fn write(&mut self, bytes: &[u8]) -> Result<usize, Self::Error>;
}

impl Stream for mayfly::net::TcpStream {
    type Error = mayfly::net::Error;

    async fn read_with<R>(
        &mut self,
        look: impl FnMut(&[u8]) -> (usize, R),
    ) -> Result<R, Self::Error> {
        self.read_with(look).await
    }

    async fn write(&mut self, bytes: &[u8]) -> Result<usize, Self::Error> {
        self.write(bytes).await
    }
}

/// Answers the requests of a client until it closes the connection, breaks the protocol or takes
/// too long.
///
/// # Errors
/// The connection is broken.
pub async fn serve<S: Stream>(stream: &mut S, limits: Limits) -> Result<(), S::Error> {
    let mut watchdog = Watchdog::new();
    loop {
        let mut answer = None;
        next(stream, &limits, &mut watchdog, &mut answer).await?;
        let Some(answer) = &answer else { return Ok(()) };
        if !send(stream, answer, &limits, &mut watchdog).await? || answer.close {
            return Ok(());
        }
    }
}

/// What a look at the bytes that have arrived has shown.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Seen {
    /// A request, whose answer is known now.
    Request,
    /// The start of one.
    Partial,
    /// The end of the stream.
    End,
}

/// Waits for the next request and finds its answer, which stays `None` if there is no request.
async fn next<S: Stream>(
    stream: &mut S,
    limits: &Limits,
    watchdog: &mut Watchdog,
    answer: &mut Option<Answer>,
) -> Result<(), S::Error> {
    let mut collected = Vec::new();
    let seen = stream.read_with(|bytes| look(&mut collected, bytes, answer));
    let Ok(seen) = watchdog.timeout(limits.idle, seen).await else { return Ok(()) };
    if seen? != Seen::Partial {
        return Ok(());
    }
    let deadline = Instant::now() + limits.request;
    loop {
        let seen = stream.read_with(|bytes| look(&mut collected, bytes, answer));
        let Ok(seen) = timeout_at(deadline, seen).await else {
            *answer = Some(Answer::refuse(Status::RequestTimeout, true));
            return Ok(());
        };
        if seen? != Seen::Partial {
            return Ok(());
        }
    }
}

/// Looks at bytes that have arrived, and returns how many of them are used up.
///
/// A request that has arrived as a whole, as they nearly all do, is read where it lies in the
/// buffer of the connection. Only the pieces of one that has not are collected.
fn look(collected: &mut Vec<u8>, bytes: &[u8], answer: &mut Option<Answer>) -> (usize, Seen) {
    if bytes.is_empty() {
        return (0, Seen::End);
    }
    let before = collected.len();
    let bytes = bytes.get(..MAX_HEAD.saturating_sub(before)).unwrap_or(bytes);
    if before > 0 && !collect(collected, bytes) {
        return (0, Seen::End);
    }
    let head = if before > 0 { &collected[..] } else { bytes };
    // Nothing but the end of a line completes a head that was not complete before.
    let may_end = before == 0 || head.len() >= MAX_HEAD || bytes.contains(&b'\n');
    if may_end && let Some(length) = read(head, answer) {
        return (length.saturating_sub(before), Seen::Request);
    }
    if before == 0 && !collect(collected, bytes) {
        return (0, Seen::End);
    }
    (bytes.len(), Seen::Partial)
}

/// Keeps bytes for later. Returns false if there is no memory for them: clients decide how many are
/// kept.
fn collect(collected: &mut Vec<u8>, bytes: &[u8]) -> bool {
    let has_room = collected.try_reserve(bytes.len()).is_ok();
    if has_room {
        collected.extend_from_slice(bytes);
    }
    has_room
}

/// Finds the answer to the request that `head` starts with, and returns the length of its head, if
/// all of it is there. What cannot be a request is answered too, and that ends the connection.
fn read(head: &[u8], answer: &mut Option<Answer>) -> Option<usize> {
    let (found, length) = match request::parse(head) {
        Parsed::Request(request, length) => (Answer::new(&request), length),
        Parsed::Bad(status) => (Answer::refuse(status, true), head.len()),
        Parsed::Partial if head.len() >= MAX_HEAD => {
            (Answer::refuse(Status::FieldsTooLarge, true), head.len())
        }
        Parsed::Partial => return None,
    };
    *answer = Some(found);
    Some(length)
}

/// Sends an answer. Returns whether the client took all of it in time.
async fn send<S: Stream>(
    stream: &mut S,
    answer: &Answer,
    limits: &Limits,
    watchdog: &mut Watchdog,
) -> Result<bool, S::Error> {
    let (mut rest, mut body) = (answer.head.as_bytes(), answer.body);
    loop {
        if rest.is_empty() {
            (rest, body) = (body, &[]);
        }
        if rest.is_empty() {
            return Ok(true);
        }
        let Ok(count) = watchdog.timeout(limits.write, stream.write(rest)).await else {
            return Ok(false);
        };
        match count? {
            0 => return Ok(false),
            count => rest = rest.get(count..).unwrap_or_default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use core::{convert::Infallible, future::pending};
    use std::collections::VecDeque;

    use mayfly::{executor, time};
    use proptest::prelude::*;

    use super::*;

    /// A client that sends these pieces, one after the other, each after a time, and then nothing
    /// more, or the end.
    #[derive(Default)]
    struct Client {
        pieces: VecDeque<(Duration, Vec<u8>)>,
        current: Vec<u8>,
        stays: bool,
        answers: Vec<u8>,
        window: usize,
    }

    impl Stream for Client {
        type Error = Infallible;

        async fn read_with<R>(
            &mut self,
            mut look: impl FnMut(&[u8]) -> (usize, R),
        ) -> Result<R, Infallible> {
            if self.current.is_empty() {
                match self.pieces.pop_front() {
                    Some((after, bytes)) => {
                        time::sleep(after).await;
                        self.current = bytes;
                    }
                    None if self.stays => pending().await,
                    None => {}
                }
            }
            let (count, result) = look(&self.current);
            self.current.drain(..count);
            Ok(result)
        }

        async fn write(&mut self, bytes: &[u8]) -> Result<usize, Infallible> {
            if self.window == 0 {
                return pending().await;
            }
            let count = bytes.len().min(1000).min(self.window);
            self.window -= count;
            self.answers.extend_from_slice(&bytes[..count]);
            Ok(count)
        }
    }

    const LIMITS: Limits = Limits {
        idle: Duration::from_secs(60),
        request: Duration::from_secs(10),
        write: Duration::from_secs(30),
    };

    /// Runs a connection in virtual time; returns what the client got and the seconds it took.
    fn run(mut client: Client) -> (String, u64) {
        mayfly_arch::simulation::start();
        let start = Instant::now();
        executor::run(serve(&mut client, LIMITS)).expect("cannot fail");
        (String::from_utf8_lossy(&client.answers).into_owned(), start.elapsed().as_secs())
    }

    fn pieces<'a>(after: u64, pieces: impl IntoIterator<Item = &'a [u8]>) -> Client {
        let pieces = pieces.into_iter().map(|piece| (Duration::from_secs(after), piece.to_vec()));
        Client { pieces: pieces.collect(), window: usize::MAX, ..Client::default() }
    }

    fn statuses(answers: &str) -> Vec<&str> {
        let starts = answers.match_indices("HTTP/1.1 ").map(|(at, _)| &answers[at + 9..at + 12]);
        starts.collect()
    }

    const GET: &[u8] = b"GET /robots.txt HTTP/1.1\r\nHost: x\r\n\r\n";
    const HEAD: &[u8] = b"HEAD /style.css HTTP/1.1\r\nHost: x\r\n\r\n";

    #[test]
    fn a_connection_serves_many_requests() {
        assert_eq!(statuses(&run(pieces(0, [GET, HEAD, GET])).0), ["200"; 3]);
    }

    #[test]
    fn requests_may_come_in_one_piece_or_byte_by_byte() {
        let all = [GET, HEAD, b"\r\n", GET].concat();
        let expected = run(pieces(0, [&all[..]])).0;
        assert_eq!(statuses(&expected), ["200"; 3]);
        assert_eq!(run(pieces(0, all.chunks(1))).0, expected);
    }

    #[test]
    fn the_connection_ends_when_the_client_says_so() {
        let last = b"GET /robots.txt HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
        assert_eq!(statuses(&run(pieces(0, [GET, last, GET])).0), ["200"; 2]);
        let (answers, _) = run(pieces(0, [&b"nonsense\r\n\r\n"[..], GET]));
        assert_eq!(statuses(&answers), ["400"]);
    }

    #[test]
    fn a_head_that_is_too_long_is_refused() {
        let head = [&b"GET / HTTP/1.1\r\nHost: x\r\nA: "[..], &[b'a'; 10_000]].concat();
        assert_eq!(statuses(&run(pieces(0, [&head[..]])).0), ["431"]);
        assert_eq!(statuses(&run(pieces(0, head.chunks(7))).0), ["431"]);
    }

    #[test]
    fn a_client_that_stretches_its_request_is_refused() {
        // One byte a second would keep a connection for half an hour.
        let (answers, seconds) = run(pieces(1, HEAD.chunks(1)));
        assert_eq!(statuses(&answers), ["408"]);
        assert_eq!(seconds, 11);
    }

    #[test]
    fn a_client_that_is_silent_is_left() {
        let (answers, seconds) = run(Client { stays: true, ..pieces(0, [GET]) });
        assert_eq!((statuses(&answers).len(), seconds), (1, 60));
        let (answers, seconds) = run(Client { window: 10, ..pieces(0, [GET]) });
        assert_eq!((answers.len(), seconds), (10, 30));
    }

    proptest! {
        #[test]
        fn how_requests_are_cut_does_not_matter(cuts in prop::collection::vec(1..40usize, 0..20)) {
            let all = [GET, HEAD, GET, HEAD].concat();
            let mut rest = &all[..];
            let mut list = Vec::new();
            for cut in cuts {
                let (piece, tail) = rest.split_at(cut.min(rest.len()));
                list.push(piece);
                rest = tail;
            }
            list.push(rest);
            list.retain(|piece| !piece.is_empty());
            let (answers, _) = run(pieces(0, list));
            prop_assert_eq!(statuses(&answers), ["200"; 4]);
        }
    }
}
