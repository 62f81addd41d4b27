//! What a request is answered with.

use alloc::string::String;
use core::fmt::{Arguments, Write as _};

use crate::{
    range::{self, Range},
    request::{Method, Request},
    site::{self, Asset},
};

/// Status codes of this server, RFC 9110 section 15.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u16)]
pub enum Status {
    /// A part of a file.
    PartialContent = 206,
    /// What the client has is still fresh.
    NotModified = 304,
    /// Not HTTP.
    BadRequest = 400,
    /// No such file.
    NotFound = 404,
    /// Files can be got, nothing else.
    MethodNotAllowed = 405,
    /// The rest of the request did not come.
    RequestTimeout = 408,
    /// The file has no such bytes.
    RangeNotSatisfiable = 416,
    /// More header fields than we are willing to read.
    FieldsTooLarge = 431,
    /// Not our version of HTTP.
    VersionNotSupported = 505,
}

impl Status {
    fn reason(self) -> &'static str {
        match self {
            Self::PartialContent => "Partial Content",
            Self::NotModified => "Not Modified",
            Self::BadRequest => "Bad Request",
            Self::NotFound => "Not Found",
            Self::MethodNotAllowed => "Method Not Allowed",
            Self::RequestTimeout => "Request Timeout",
            Self::RangeNotSatisfiable => "Range Not Satisfiable",
            Self::FieldsTooLarge => "Request Header Fields Too Large",
            Self::VersionNotSupported => "HTTP Version Not Supported",
        }
    }
}

/// An answer: what to send, and whether the connection ends with it.
#[derive(Debug)]
pub struct Answer {
    /// Its head, or nothing if the body starts with one that was prepared with the image.
    pub head: String,
    /// What follows it.
    pub body: &'static [u8],
    /// The connection ends after it.
    pub close: bool,
}

impl Answer {
    /// An answer with this head. Without memory for it, the connection ends instead: clients decide
    /// how many heads there are.
    fn with_head(head: Option<String>, body: &'static [u8], close: bool) -> Self {
        match head {
            Some(head) => Self { head, body, close },
            None => Self { head: String::new(), body: &[], close: true },
        }
    }

    /// The answer to a request.
    pub fn new(request: &Request<'_>) -> Self {
        let with_body = match request.method {
            Method::Get => true,
            Method::Head => false,
            Method::Other => return Self::refuse(Status::MethodNotAllowed, request.close),
        };
        let Some(asset) = site::find(request.target) else {
            return Self::not_found(with_body, request.close);
        };
        if request.if_none_match.is_some_and(|tags| matches(tags, asset.etag)) {
            let head =
                head(Status::NotModified, request.close, format_args!("ETag: {}\r\n", asset.etag));
            return Self::with_head(head, &[], request.close);
        }
        // Only a GET has ranges, and only of the file that the client has a part of.
        let same = request.if_range.is_none_or(|tag| tag == asset.etag);
        match request.range.filter(|_| with_body && same) {
            Some(range) => Self::range(asset, range, request.close),
            None => Self::whole(asset, with_body, request.close),
        }
    }

    /// Says no, and why.
    pub fn refuse(status: Status, close: bool) -> Self {
        let allow = if status == Status::MethodNotAllowed { "Allow: GET, HEAD\r\n" } else { "" };
        let head = head(status, close, format_args!("{allow}Content-Length: 0\r\n"));
        Self::with_head(head, &[], close)
    }

    fn not_found(with_body: bool, close: bool) -> Self {
        let Some(page) = site::not_found() else {
            return Self::refuse(Status::NotFound, close);
        };
        let head = content(Status::NotFound, close, page, page.body().len(), format_args!(""));
        Self::with_head(head, if with_body { page.body() } else { &[] }, close)
    }

    fn whole(asset: &'static Asset, with_body: bool, close: bool) -> Self {
        let prepared = if with_body { asset.response } else { asset.head() };
        if !close {
            return Self { head: String::new(), body: prepared, close };
        }
        // The prepared head, with one more field before the empty line that ends it.
        let fields = asset.head().strip_suffix(b"\r\n").unwrap_or_default();
        let fields = core::str::from_utf8(fields).unwrap_or_default();
        let head = formatted(format_args!("{fields}Connection: close\r\n\r\n"));
        Self::with_head(head, if with_body { asset.body() } else { &[] }, close)
    }

    fn range(asset: &'static Asset, range: &str, close: bool) -> Self {
        let length = asset.body().len();
        match range::parse(range, length) {
            Range::Whole => Self::whole(asset, true, close),
            Range::Part { first, last } => {
                let body = asset.body().get(first..=last).unwrap_or_default();
                let range = format_args!(
                    "ETag: {}\r\nContent-Range: bytes {first}-{last}/{length}\r\n",
                    asset.etag
                );
                let head = content(Status::PartialContent, close, asset, body.len(), range);
                Self::with_head(head, body, close)
            }
            Range::Unsatisfiable => {
                let range =
                    format_args!("Content-Range: bytes */{length}\r\nContent-Length: 0\r\n");
                Self::with_head(head(Status::RangeNotSatisfiable, close, range), &[], close)
            }
        }
    }
}

/// Bytes for a head: more than any takes.
const HEAD: usize = 512;

/// The text, if there is memory for it.
fn formatted(text: Arguments<'_>) -> Option<String> {
    let mut head = String::new();
    head.try_reserve_exact(HEAD).ok()?;
    head.write_fmt(text).ok()?;
    Some(head)
}

/// A head with these fields and those that every head has.
fn head(status: Status, close: bool, fields: Arguments<'_>) -> Option<String> {
    let connection = if close { "Connection: close\r\n" } else { "" };
    let (code, reason) = (status as u16, status.reason());
    formatted(format_args!("HTTP/1.1 {code} {reason}\r\n{fields}{connection}\r\n"))
}

/// A head for `length` bytes of a file.
fn content(
    status: Status,
    close: bool,
    asset: &Asset,
    length: usize,
    more: Arguments<'_>,
) -> Option<String> {
    let content_type = asset.content_type;
    let fields = format_args!("Content-Type: {content_type}\r\nContent-Length: {length}\r\n{more}");
    head(status, close, fields)
}

/// Whether a list of entity tags has this one, or is `*`: RFC 9110, section 13.1.2. The tags are
/// compared weakly, that is without their `W/`.
fn matches(list: &str, etag: &str) -> bool {
    let is = |tag: &str| tag == "*" || tag.strip_prefix("W/").unwrap_or(tag) == etag;
    list.split(',').map(str::trim_ascii).any(is)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::request::{Parsed, parse};

    /// The status line, the head's fields and the length of the body of the answer to a request.
    fn ask(start: &str, fields: &str) -> (String, String, usize) {
        let text = format!("{start} HTTP/1.1\r\nHost: x\r\n{fields}\r\n");
        let answer = match parse(text.as_bytes()) {
            Parsed::Request(request, _) => Answer::new(&request),
            other => panic!("{other:?}"),
        };
        assert!(answer.head.len() < HEAD, "{}", answer.head);
        let bytes = [answer.head.as_bytes(), answer.body].concat();
        let end = bytes.windows(4).position(|window| window == b"\r\n\r\n").expect("a head") + 4;
        let head = String::from_utf8(bytes[..end].to_vec()).expect("text");
        let (status, fields) = head.split_once("\r\n").expect("a status line");
        (status.to_owned(), fields.to_owned(), bytes.len() - end)
    }

    #[test]
    fn files_are_sent_whole() {
        let style = site::find("/style.css").expect("there");
        let (status, fields, body) = ask("GET /style.css", "");
        assert_eq!((status.as_str(), body), ("HTTP/1.1 200 OK", style.body().len()));
        assert!(fields.contains("Content-Type: text/css") && !fields.contains("Connection"));
        let (_, head_fields, body) = ask("HEAD /style.css", "");
        assert_eq!((head_fields, body), (fields, 0));
        let (_, fields, body) = ask("GET /style.css", "Connection: close\r\n");
        assert!(fields.ends_with("Accept-Ranges: bytes\r\nConnection: close\r\n\r\n"));
        assert_eq!(body, style.body().len());
    }

    #[test]
    fn parts_of_files_are_sent() {
        let total = site::find("/style.css").expect("there").body().len();
        let (status, fields, body) = ask("GET /style.css", "Range: bytes=10-19\r\n");
        assert_eq!((status.as_str(), body), ("HTTP/1.1 206 Partial Content", 10));
        assert!(fields.contains(&format!("Content-Range: bytes 10-19/{total}\r\n")));
        assert!(fields.contains("Content-Length: 10\r\n"));
        let (status, fields, _) = ask("GET /style.css", "Range: bytes=99999-\r\n");
        assert_eq!(status, "HTTP/1.1 416 Range Not Satisfiable");
        assert!(fields.contains(&format!("Content-Range: bytes */{total}\r\n")));
        let stale = "Range: bytes=0-1\r\nIf-Range: \"old\"\r\n";
        assert_eq!(ask("GET /style.css", stale).2, total);
        assert_eq!(ask("HEAD /style.css", "Range: bytes=0-1\r\n").0, "HTTP/1.1 200 OK");
    }

    #[test]
    fn what_is_fresh_is_not_sent_again() {
        let etag = site::find("/").expect("there").etag;
        for tags in ["*", etag, &format!("\"a\", W/{etag}")] {
            let (status, fields, body) = ask("GET /", &format!("If-None-Match: {tags}\r\n"));
            assert_eq!((status.as_str(), body), ("HTTP/1.1 304 Not Modified", 0));
            assert!(fields.contains(etag));
        }
        assert_eq!(ask("GET /", "If-None-Match: \"a\"\r\n").0, "HTTP/1.1 200 OK");
    }

    #[test]
    fn refusals_say_why() {
        let (status, fields, body) = ask("GET /no-such-page", "");
        assert_eq!(status, "HTTP/1.1 404 Not Found");
        assert!(fields.contains(&format!("Content-Length: {body}\r\n")) && body > 0);
        assert_eq!(ask("HEAD /no-such-page", "").2, 0);
        let (status, fields, _) = ask("POST /", "Content-Length: 5\r\n");
        assert_eq!(status, "HTTP/1.1 405 Method Not Allowed");
        assert!(fields.contains("Allow: GET, HEAD\r\n") && fields.contains("Connection: close"));
    }
}
