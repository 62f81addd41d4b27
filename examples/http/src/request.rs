//! Requests: RFC 9112 for their form, RFC 9110 for what they mean.

use core::mem::MaybeUninit;

use crate::answer::Status;

/// Most header fields of a request.
const MAX_FIELDS: usize = 32;

/// What a client wants done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// The file.
    Get,
    /// What would come before the file.
    Head,
    /// Something that a file cannot do.
    Other,
}

/// The head of a request, as far as this server looks at it.
#[derive(Debug)]
pub struct Request<'a> {
    /// What is wanted.
    pub method: Method,
    /// Of what.
    pub target: &'a str,
    /// `Range`
    pub range: Option<&'a str>,
    /// `If-Range`
    pub if_range: Option<&'a str>,
    /// `If-None-Match`
    pub if_none_match: Option<&'a str>,
    /// The connection ends after the answer: the client said so, or speaks HTTP/1.0, or sends
    /// content, which this server does not read.
    pub close: bool,
}

/// What a client has sent so far.
#[derive(Debug)]
pub enum Parsed<'a> {
    /// A request whose head has this length in bytes.
    Request(Request<'a>, usize),
    /// The start of a request.
    Partial,
    /// Nothing that this server understands.
    Bad(Status),
}

/// Reads the head of a request.
pub fn parse(bytes: &[u8]) -> Parsed<'_> {
    let mut fields = [const { MaybeUninit::uninit() }; MAX_FIELDS];
    let mut head = httparse::Request::new(&mut []);
    let length = match head.parse_with_uninit_headers(bytes, &mut fields) {
        Ok(httparse::Status::Complete(length)) => length,
        Ok(httparse::Status::Partial) => return Parsed::Partial,
        Err(httparse::Error::TooManyHeaders) => return Parsed::Bad(Status::FieldsTooLarge),
        Err(httparse::Error::Version) => return Parsed::Bad(Status::VersionNotSupported),
        Err(_) => return Parsed::Bad(Status::BadRequest),
    };
    match read_head(&head) {
        Some(request) => Parsed::Request(request, length),
        None => Parsed::Bad(Status::BadRequest),
    }
}

/// Picks what matters out of a head. `None` if the fields contradict each other or the protocol.
fn read_head<'a>(head: &httparse::Request<'_, 'a>) -> Option<Request<'a>> {
    let is_http_1_0 = head.version == Some(0);
    let mut request = Request {
        method: match head.method? {
            "GET" => Method::Get,
            "HEAD" => Method::Head,
            _ => Method::Other,
        },
        target: head.path?,
        range: None,
        if_range: None,
        if_none_match: None,
        close: is_http_1_0,
    };
    let mut hosts = 0;
    for field in head.headers.iter() {
        // Comparing lengths first leaves few names to compare.
        let is = |name: &str| field.name.eq_ignore_ascii_case(name);
        match field.name.len() {
            4 if is("host") => hosts += 1,
            5 if is("range") => request.range = Some(text(field.value)?),
            8 if is("if-range") => request.if_range = Some(text(field.value)?),
            10 if is("connection") => request.close |= has_token(text(field.value)?, "close"),
            13 if is("if-none-match") => request.if_none_match = Some(text(field.value)?),
            14 if is("content-length") => request.close |= field.value != b"0",
            17 if is("transfer-encoding") => request.close = true,
            _ => {}
        }
    }
    // RFC 9112, section 3.2: exactly one Host, except from clients of old.
    (hosts == 1 || is_http_1_0 && hosts == 0).then_some(request)
}

fn text(value: &[u8]) -> Option<&str> {
    core::str::from_utf8(value).ok()
}

/// Whether a list of tokens, separated by commas, has this one.
fn has_token(list: &str, token: &str) -> bool {
    list.split(',').any(|item| item.trim_ascii().eq_ignore_ascii_case(token))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn request(head: &str) -> Request<'_> {
        match parse(head.as_bytes()) {
            Parsed::Request(request, length) => {
                assert_eq!(length, head.len());
                request
            }
            other => panic!("{other:?}"),
        }
    }

    fn refusal(head: &str) -> Status {
        match parse(head.as_bytes()) {
            Parsed::Bad(status) => status,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_fields_that_matter_are_read() {
        let request = request(
            "GET /a HTTP/1.1\r\nhOST: x\r\nRange: bytes=0-1\r\nIf-Range: \"e\"\r\n\
             If-None-Match: *\r\nAccept: */*\r\n\r\n",
        );
        assert_eq!((request.method, request.target), (Method::Get, "/a"));
        assert_eq!((request.range, request.if_range), (Some("bytes=0-1"), Some("\"e\"")));
        assert_eq!((request.if_none_match, request.close), (Some("*"), false));
    }

    #[test]
    fn connections_close_when_they_must() {
        let close = |version: &str, field: &str| {
            request(&format!("HEAD / HTTP/{version}\r\nHost: x\r\n{field}\r\n")).close
        };
        assert!(!close("1.1", "") && !close("1.1", "Connection: keep-alive\r\n"));
        assert!(!close("1.1", "Content-Length: 0\r\n"));
        assert!(close("1.0", ""));
        assert!(close("1.1", "Connection: Upgrade, Close\r\n"));
        assert!(close("1.1", "Content-Length: 5\r\n"));
        assert!(close("1.1", "Transfer-Encoding: chunked\r\n"));
    }

    #[test]
    fn what_is_not_http_is_refused() {
        assert_eq!(refusal("GET / HTTP/1.1\r\n\r\n"), Status::BadRequest);
        assert_eq!(refusal("GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n"), Status::BadRequest);
        assert_eq!(refusal("GET / HTTP/2.0\r\nHost: a\r\n\r\n"), Status::VersionNotSupported);
        assert_eq!(refusal("\u{16}\u{3}\u{1}"), Status::BadRequest);
        let many = format!("GET / HTTP/1.1\r\nHost: a\r\n{}\r\n", "A: b\r\n".repeat(40));
        assert_eq!(refusal(&many), Status::FieldsTooLarge);
        assert!(matches!(parse(b"GET / HT"), Parsed::Partial));
        assert!(matches!(parse(b""), Parsed::Partial));
    }

    proptest! {
        #[test]
        fn any_bytes_are_survived(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            parse(&bytes);
        }

        #[test]
        fn nearly_right_bytes_are_survived(
            head in "(GET|HEAD|P) [/a-z%.]{0,9} HTTP/1.[01]\r\n((Host|Range|Connection): ?[a-z=,0-9-]{0,9}\r\n){0,4}(\r\n)?",
        ) {
            if let Parsed::Request(_, length) = parse(head.as_bytes()) {
                prop_assert!(length <= head.len());
            }
        }
    }
}
