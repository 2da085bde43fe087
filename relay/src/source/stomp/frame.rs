//! Frames of STOMP 1.1 and 1.2, <https://stomp.github.io/stomp-specification-1.2.html>.

use super::escape::{escape, unescape};
use bytes::{BufMut, Bytes, BytesMut};

/// Which version both sides speak.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Version {
    V1_1,
    V1_2,
}

/// What a client says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verb {
    Connect,
    Subscribe,
    Ack,
}

impl Verb {
    fn as_str(self) -> &'static str {
        match self {
            // STOMP would do as well, but not for servers of 1.0 that say so in an ERROR
            Verb::Connect => "CONNECT",
            Verb::Subscribe => "SUBSCRIBE",
            Verb::Ack => "ACK",
        }
    }
}

/// A frame to a server, without a body.
#[derive(Debug)]
pub(super) struct Request {
    verb: Verb,
    headers: Vec<(&'static str, String)>,
}

impl Request {
    pub(super) fn new(verb: Verb) -> Request {
        Request {
            verb,
            headers: Vec::new(),
        }
    }

    /// A value that text of others is part of is as good as any: it is escaped.
    pub(super) fn header(mut self, name: &'static str, value: impl Into<String>) -> Request {
        self.headers.push((name, value.into()));
        self
    }

    /// The header, if there is a value for it.
    pub(super) fn optional(self, name: &'static str, value: Option<&str>) -> Request {
        match value {
            Some(value) => self.header(name, value),
            None => self,
        }
    }

    /// Writes it. A `CONNECT` escapes nothing (1.2, "Value Encoding"): its values must not hold line
    /// ends, which the configuration and the reading of passwords see to.
    pub(super) fn write(&self, out: &mut BytesMut) {
        out.put_slice(self.verb.as_str().as_bytes());
        out.put_u8(b'\n');
        for (name, value) in &self.headers {
            out.put_slice(name.as_bytes());
            out.put_u8(b':');
            match self.verb {
                Verb::Connect => out.put_slice(value.as_bytes()),
                _ => escape(value, out),
            }
            out.put_u8(b'\n');
        }
        out.put_slice(b"\n\0");
    }
}

/// What a server says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Word {
    Connected,
    Message,
    Receipt,
    Error,
}

impl Word {
    fn read(line: &[u8]) -> Option<Word> {
        match line {
            b"CONNECTED" => Some(Word::Connected),
            b"MESSAGE" => Some(Word::Message),
            b"RECEIPT" => Some(Word::Receipt),
            b"ERROR" => Some(Word::Error),
            _ => None,
        }
    }
}

/// A frame of a server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Frame {
    pub word: Word,
    pub headers: Headers,
    pub body: Body,
}

/// What follows the headers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Body {
    Whole(Bytes),
    /// Longer than what is taken: read over. How long it was.
    TooLong(u64),
}

/// The headers of a frame, in their order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Headers {
    pairs: Vec<(String, String)>,
    fault: Option<HeaderFault>,
}

/// A line of headers that is none. The frame can be read over all the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum HeaderFault {
    #[error("a header without a colon")]
    NoColon,
    #[error("a header that is no UTF-8")]
    NotUtf8,
    #[error("a header with an escape that STOMP does not know")]
    Escape,
}

impl Headers {
    /// The first of this name: repeated ones do not count (1.2, "Repeated Header Entries").
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        let mut pairs = self.pairs.iter();
        pairs
            .find(|(known, _)| known == name)
            .map(|(_, value)| value.as_str())
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.pairs
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// What is wrong with one of them.
    pub(super) fn fault(&self) -> Option<HeaderFault> {
        self.fault
    }

    fn read<'l>(lines: impl Iterator<Item = &'l [u8]>, escaped: bool) -> Headers {
        let mut headers = Headers::default();
        for line in lines {
            match pair(line, escaped) {
                Ok(pair) => headers.pairs.push(pair),
                Err(fault) => headers.fault = Some(headers.fault.unwrap_or(fault)),
            }
        }
        headers
    }
}

fn pair(line: &[u8], escaped: bool) -> Result<(String, String), HeaderFault> {
    let line = std::str::from_utf8(line).map_err(|_| HeaderFault::NotUtf8)?;
    let (name, value) = line.split_once(':').ok_or(HeaderFault::NoColon)?;
    if !escaped {
        return Ok((name.to_owned(), value.to_owned()));
    }
    let text = |text| unescape(text).ok_or(HeaderFault::Escape);
    Ok((text(name)?, text(value)?))
}

/// The first line and the headers of a frame; `None` if its first word is no server's.
pub(super) fn read_head<'l>(
    word: &'l [u8],
    lines: impl Iterator<Item = &'l [u8]>,
) -> Option<(Word, Headers)> {
    let word = Word::read(word)?;
    // CONNECTED is not escaped, as 1.0 had no escapes
    Some((word, Headers::read(lines, word != Word::Connected)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(request: &Request) -> String {
        let mut out = BytesMut::new();
        request.write(&mut out);
        String::from_utf8(out.to_vec()).expect("UTF-8")
    }

    #[test]
    fn a_request_ends_with_an_empty_line_and_a_zero() {
        let request = Request::new(Verb::Subscribe)
            .header("id", "0")
            .optional("selector", None)
            .optional("ack", Some("client-individual"));
        assert_eq!(
            written(&request),
            "SUBSCRIBE\nid:0\nack:client-individual\n\n\0"
        );
    }

    #[test]
    fn a_value_makes_no_header_of_its_own() {
        let request = Request::new(Verb::Ack).header("id", "1:2\nevil:yes\\\r");
        assert_eq!(written(&request), "ACK\nid:1\\c2\\nevil\\cyes\\\\\\r\n\n\0");
    }

    #[test]
    fn a_password_is_sent_as_it_is_since_connect_escapes_nothing() {
        let request = Request::new(Verb::Connect).header("passcode", "a:b\\c");
        assert_eq!(written(&request), "CONNECT\npasscode:a:b\\c\n\n\0");
    }

    #[test]
    fn the_first_of_repeated_headers_counts() {
        let lines: [&[u8]; 3] = [b"a:1", b"a:2", b"b:"];
        let headers = Headers::read(lines.into_iter(), true);
        assert_eq!(headers.get("a"), Some("1"));
        assert_eq!(headers.get("b"), Some(""));
        assert_eq!(headers.get("c"), None);
        assert_eq!(headers.iter().count(), 3);
    }

    #[test]
    fn a_faulty_header_is_told_and_the_others_are_read() {
        let cases: [(&[u8], HeaderFault); 3] = [
            (b"no colon", HeaderFault::NoColon),
            (b"a:\xff", HeaderFault::NotUtf8),
            (b"a:\\t", HeaderFault::Escape),
        ];
        for (line, fault) in cases {
            let headers = Headers::read([line, b"ack:7"].into_iter(), true);
            assert_eq!(headers.fault(), Some(fault));
            assert_eq!(headers.get("ack"), Some("7"));
        }
    }
}
