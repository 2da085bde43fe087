//! A connection whose first request is not complete yet.

use crate::proxy_protocol::Preface;
use std::{net::SocketAddr, os::fd::OwnedFd, time::Instant};

pub struct Head {
    pub socket: OwnedFd,
    pub peer: Option<SocketAddr>,
    /// What comes before the request.
    pub preface: Preface,
    /// What came so far; empty unless the head came in pieces.
    pub bytes: Vec<u8>,
    pub deadline: Instant,
}

/// What the first bytes of a connection are.
#[derive(Debug)]
pub enum Parsed<'b> {
    /// Not yet a whole head.
    Partial,
    /// A request whose body, if it has one, starts at `body`.
    Request { request: Request<'b>, body: usize },
    /// A head with too many bytes or lines.
    TooLarge,
    /// HTTP/2 with prior knowledge, or no HTTP at all.
    Foreign,
}

/// A request's head, borrowed from the read buffer.
#[derive(Debug)]
pub struct Request<'b> {
    pub method: &'b str,
    pub target: &'b str,
    /// Minor version of HTTP/1.
    pub minor: u8,
    pub headers: Vec<httparse::Header<'b>>,
}

/// Header lines of a request at most; hyper's own limit.
pub const MAX_HEADERS: usize = 100;

/// Looks at what a connection sent. `max` bounds the head, in bytes.
pub fn parse(bytes: &[u8], max: usize) -> Parsed<'_> {
    let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
    let mut request = httparse::Request::new(&mut headers);
    match request.parse(bytes) {
        Ok(httparse::Status::Partial) if bytes.len() < max => Parsed::Partial,
        // however fast it came, a head has the bound that hyper's have
        Ok(httparse::Status::Complete(body)) if body <= max => {
            match (request.method, request.path, request.version) {
                (Some(method), Some(target), Some(minor)) => Parsed::Request {
                    request: Request {
                        method,
                        target,
                        minor,
                        headers: request.headers.to_vec(),
                    },
                    body,
                },
                _ => Parsed::Foreign,
            }
        }
        Ok(_) | Err(httparse::Error::TooManyHeaders) => Parsed::TooLarge,
        Err(_) => Parsed::Foreign,
    }
}

/// The origin of the page that sent a request, of a head that may not be legal or not be whole. `None`
/// if it is there twice.
pub fn origin(bytes: &[u8]) -> Option<&str> {
    let lines = bytes.split(|byte| *byte == b'\n').skip(1);
    let lines = lines.map(<[u8]>::trim_ascii_end);
    let mut found = lines
        .take_while(|line| !line.is_empty())
        .filter_map(|line| {
            let colon = line.iter().position(|byte| *byte == b':')?;
            let (name, value) = line.split_at(colon);
            name.eq_ignore_ascii_case(b"origin")
                .then(|| value[1..].trim_ascii())
        });
    let first = std::str::from_utf8(found.next()?).ok();
    first.filter(|_| found.next().is_none())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_is_partial_until_its_blank_line() {
        let whole = b"GET /v1/events?channel=a HTTP/1.1\r\nHost: x\r\nLast-Event-ID: 7\r\n\r\nrest";
        for length in 0..whole.len() - 4 {
            assert!(
                matches!(parse(&whole[..length], 1024), Parsed::Partial),
                "{length}"
            );
        }
        let Parsed::Request { request, body } = parse(whole, 1024) else {
            panic!("whole")
        };
        assert_eq!(
            (request.method, request.target, request.minor),
            ("GET", "/v1/events?channel=a", 1)
        );
        assert_eq!(request.headers[1].value, b"7");
        assert_eq!(&whole[body..], b"rest");
    }

    #[test]
    fn the_origin_is_found_in_a_head_that_cannot_be_read() {
        let of = |head: &'static str| origin(head.as_bytes());
        assert_eq!(
            of("GET / HTTP/1.1\r\nX: \x01\r\nORIGIN: https://a.example \r\nY: cut"),
            Some("https://a.example")
        );
        for none in [
            "",
            "Origin: https://a.example",
            "GET / HTTP/1.1\r\n\r\nOrigin: https://a.example\r\n",
            "GET / HTTP/1.1\r\nOrigin: a\r\norigin: b\r\n\r\n",
        ] {
            assert_eq!(of(none), None, "{none}");
        }
    }

    #[test]
    fn what_is_no_http_1_request_is_foreign() {
        assert!(matches!(
            parse(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 1024),
            Parsed::Foreign
        ));
        assert!(matches!(parse(b"\x16\x03\x01", 1024), Parsed::Foreign));
        assert!(
            matches!(parse(&[b'G'; 64], 64), Parsed::TooLarge),
            "too long without an end"
        );
        let long = format!("GET / HTTP/1.1\r\nX: {}\r\n\r\n", "a".repeat(64));
        assert!(
            matches!(parse(long.as_bytes(), 64), Parsed::TooLarge),
            "too long, but in one piece"
        );
    }
}
