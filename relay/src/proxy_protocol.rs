//! The PROXY protocol, versions 1 and 2: in front of everything else, a proxy says for whom it connects
//! (HAProxy's proxy-protocol.txt).
//!
//! Pure and bounded: it looks at bytes and says how many of them are the header.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// What begins a header of version 2.
const SIGNATURE: [u8; 12] = *b"\r\n\r\n\0\r\nQUIT\n";
/// What begins a header of version 1.
const WORD: &[u8] = b"PROXY ";
/// The longest line of version 1, its end included.
const MAX_LINE: usize = 107;
/// The fixed part of version 2.
const FIXED: usize = 16;
/// The longest header of version 2, its extensions included. Real ones have a few hundred bytes, a
/// client's certificate at most.
pub const MAX_HEADER: usize = FIXED + 4096;

/// For whom a proxy connects.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Source {
    Address(SocketAddr),
    /// For itself, to see whether we live; or it does not say.
    Proxy,
}

/// What the first bytes of a connection are.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Parsed {
    /// Perhaps the beginning of a header; all bytes are part of it, if it is one.
    Partial,
    /// A header of so many bytes.
    Header { length: usize, source: Source },
    /// Something else.
    Absent,
    /// It begins as a header does and is none.
    Malformed,
}

/// Whether a connection begins with a header.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Preface {
    /// What it begins with is no header, whatever it looks like.
    Absent,
    /// None may be there: this peer is not believed.
    Forbidden,
    Optional,
    Required,
}

/// What the first bytes of a connection are to who knows whether a header may be there.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Skipped {
    /// More must come.
    Partial,
    /// It should begin otherwise.
    Refused,
    /// The rest begins after so many bytes; `None` where no header was.
    To(usize, Option<Source>),
}

impl Preface {
    pub fn skip(self, bytes: &[u8]) -> Skipped {
        if self == Preface::Absent {
            return Skipped::To(0, None);
        }
        match parse(bytes) {
            Parsed::Partial => Skipped::Partial,
            Parsed::Malformed => Skipped::Refused,
            Parsed::Header { .. } if self == Preface::Forbidden => Skipped::Refused,
            Parsed::Header { length, source } => Skipped::To(length, Some(source)),
            Parsed::Absent if self != Preface::Required => Skipped::To(0, None),
            Parsed::Absent => Skipped::Refused,
        }
    }
}

pub fn parse(bytes: &[u8]) -> Parsed {
    if bytes.starts_with(&SIGNATURE) {
        version_2(bytes)
    } else if bytes.starts_with(WORD) {
        version_1(bytes)
    } else if SIGNATURE.starts_with(bytes) || WORD.starts_with(bytes) {
        Parsed::Partial
    } else {
        Parsed::Absent
    }
}

fn version_1(bytes: &[u8]) -> Parsed {
    let seen = &bytes[..bytes.len().min(MAX_LINE)];
    let Some(end) = seen.windows(2).position(|pair| pair == b"\r\n") else {
        return if bytes.len() < MAX_LINE {
            Parsed::Partial
        } else {
            Parsed::Malformed
        };
    };
    let line = std::str::from_utf8(&seen[WORD.len()..end]);
    match line.ok().and_then(source_of_line) {
        Some(source) => Parsed::Header {
            length: end + 2,
            source,
        },
        None => Parsed::Malformed,
    }
}

/// `TCP4 SOURCE DESTINATION PORT PORT`; what follows `UNKNOWN` is to be ignored.
fn source_of_line(line: &str) -> Option<Source> {
    let (family, rest) = line.split_once(' ').unwrap_or((line, ""));
    if family == "UNKNOWN" {
        return Some(Source::Proxy);
    }
    let fields: Vec<&str> = rest.split(' ').collect();
    let [from, to, from_port, to_port] = fields[..] else {
        return None;
    };
    let (from, to): (IpAddr, IpAddr) = match family {
        "TCP4" => (
            from.parse::<Ipv4Addr>().ok()?.into(),
            to.parse::<Ipv4Addr>().ok()?.into(),
        ),
        "TCP6" => (
            from.parse::<Ipv6Addr>().ok()?.into(),
            to.parse::<Ipv6Addr>().ok()?.into(),
        ),
        _ => return None,
    };
    let _ = (to, port(to_port)?); // they must be right, and say nothing that we need
    Some(Source::Address(SocketAddr::new(from, port(from_port)?)))
}

/// Without sign and leading zeros.
fn port(text: &str) -> Option<u16> {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    let plain = digits && (text == "0" || !text.starts_with('0'));
    plain.then(|| text.parse().ok()).flatten()
}

fn version_2(bytes: &[u8]) -> Parsed {
    let Some(fixed) = bytes.first_chunk::<FIXED>() else {
        // what is wrong already will not become right
        return match bytes.get(SIGNATURE.len()) {
            Some(command) if command >> 4 != 2 => Parsed::Malformed,
            _ => Parsed::Partial,
        };
    };
    let (command, family) = (fixed[12], fixed[13]);
    let length = FIXED + usize::from(u16::from_be_bytes([fixed[14], fixed[15]]));
    if length > MAX_HEADER || command >> 4 != 2 {
        return Parsed::Malformed;
    }
    if bytes.len() < length {
        return Parsed::Partial;
    }
    match source_of_block(command & 0xF, family, &bytes[FIXED..length]) {
        Some(source) => Parsed::Header { length, source },
        None => Parsed::Malformed,
    }
}

/// Source, destination, their ports, and extensions that nobody here needs.
fn source_of_block(command: u8, family: u8, block: &[u8]) -> Option<Source> {
    match (command, family) {
        (0, _) => Some(Source::Proxy),
        // TCP over IPv4 and IPv6
        (1, 0x11) => {
            let block = block.first_chunk::<12>()?;
            let ip = Ipv4Addr::new(block[0], block[1], block[2], block[3]);
            let port = u16::from_be_bytes([block[8], block[9]]);
            Some(Source::Address(SocketAddr::new(ip.into(), port)))
        }
        (1, 0x21) => {
            let block = block.first_chunk::<36>()?;
            let ip = Ipv6Addr::from(*block.first_chunk::<16>()?);
            let port = u16::from_be_bytes([block[32], block[33]]);
            Some(Source::Address(SocketAddr::new(ip.into(), port)))
        }
        // not told, UDP, Unix sockets: legal, and nothing that a client's address could be
        (1, 0x00 | 0x12 | 0x22 | 0x31 | 0x32) => Some(Source::Proxy),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn header(bytes: &[u8]) -> (usize, Source) {
        match parse(bytes) {
            Parsed::Header { length, source } => (length, source),
            other => panic!("{other:?} of {bytes:?}"),
        }
    }

    fn block(command: u8, family: u8, block: &[u8]) -> Vec<u8> {
        let length = u16::try_from(block.len()).unwrap().to_be_bytes();
        [&SIGNATURE[..], &[command, family], &length, block].concat()
    }

    fn v2(source: SocketAddr, extensions: &[u8]) -> Vec<u8> {
        let ports = [source.port().to_be_bytes(), [0, 80]].concat();
        match source.ip() {
            IpAddr::V4(ip) => {
                let addresses = [ip.octets(), [127, 0, 0, 1]].concat();
                block(0x21, 0x11, &[&addresses[..], &ports, extensions].concat())
            }
            IpAddr::V6(ip) => {
                let addresses = [ip.octets(), [1; 16]].concat();
                block(0x21, 0x21, &[&addresses[..], &ports, extensions].concat())
            }
        }
    }

    #[test]
    fn a_line_says_for_whom() {
        let line = b"PROXY TCP4 192.0.2.7 127.0.0.1 56324 443\r\nGET /";
        let source = Source::Address("192.0.2.7:56324".parse().unwrap());
        assert_eq!(header(line), (line.len() - 5, source));
        let line = b"PROXY TCP6 2001:db8::1 ::1 1 2\r\n";
        let source = Source::Address("[2001:db8::1]:1".parse().unwrap());
        assert_eq!(header(line).1, source);
        for line in ["PROXY UNKNOWN\r\n", "PROXY UNKNOWN what ever 1 2\r\n"] {
            assert_eq!(header(line.as_bytes()), (line.len(), Source::Proxy));
        }
    }

    #[test]
    fn a_line_that_is_wrong_is_refused() {
        for line in [
            "PROXY \r\n",
            "PROXY TCP4\r\n",
            "PROXY TCP4 1.2.3.4 1.2.3.4 1\r\n",
            "PROXY TCP4 1.2.3.4 1.2.3.4 1 2 3\r\n",
            "PROXY TCP4 1.2.3.4  1.2.3.4 1 2\r\n",
            "PROXY TCP4 ::1 ::1 1 2\r\n",
            "PROXY TCP6 1.2.3.4 1.2.3.4 1 2\r\n",
            "PROXY TCP4 1.2.3 1.2.3.4 1 2\r\n",
            "PROXY TCP4 1.2.3.4 1.2.3.4 65536 2\r\n",
            "PROXY TCP4 1.2.3.4 1.2.3.4 +1 2\r\n",
            "PROXY TCP4 1.2.3.4 1.2.3.4 01 2\r\n",
            "PROXY UDP4 1.2.3.4 1.2.3.4 1 2\r\n",
            "PROXY tcp4 1.2.3.4 1.2.3.4 1 2\r\n",
            "PROXY TCP4 \u{e9} 1.2.3.4 1 2\r\n",
        ] {
            assert_eq!(parse(line.as_bytes()), Parsed::Malformed, "{line:?}");
        }
        let long = format!("PROXY UNKNOWN {}\r\n", "x".repeat(MAX_LINE));
        assert_eq!(parse(long.as_bytes()), Parsed::Malformed);
        let longest = format!("PROXY UNKNOWN {}\r\n", "x".repeat(MAX_LINE - 16));
        assert_eq!(header(longest.as_bytes()).0, MAX_LINE);
    }

    #[test]
    fn a_block_that_is_wrong_is_refused() {
        for bytes in [
            block(0x11, 0x11, &[0; 12]),
            block(0x22, 0x11, &[0; 12]),
            block(0x21, 0x11, &[0; 11]),
            block(0x21, 0x21, &[0; 35]),
            block(0x21, 0x41, &[0; 12]),
            block(0x21, 0x11, &[0; MAX_HEADER]),
            [&SIGNATURE[..], &[0x31]].concat(),
        ] {
            assert_eq!(parse(&bytes), Parsed::Malformed, "{bytes:?}");
        }
        for bytes in [
            block(0x20, 0x11, &[]),
            block(0x20, 0x00, &[1, 2, 3]),
            block(0x21, 0x00, &[]),
            block(0x21, 0x31, &[0; 216]),
        ] {
            assert_eq!(header(&bytes), (bytes.len(), Source::Proxy));
        }
        assert_eq!(
            header(&block(0x20, 0, &[0; MAX_HEADER - FIXED])).0,
            MAX_HEADER
        );
    }

    #[test]
    fn other_protocols_are_something_else() {
        for bytes in [
            &b"GET / HTTP/1.1\r\n"[..],
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
            b"PROPFIND / HTTP/1.1\r\n",
            &[22, 3, 1],
            b"\r\n\r\nGET / HTTP/1.1\r\n",
            b"PROXY\r\n",
        ] {
            assert_eq!(parse(bytes), Parsed::Absent, "{bytes:?}");
        }
    }

    #[test]
    fn a_header_is_looked_for_only_where_it_may_be() {
        let line = b"PROXY UNKNOWN\r\nGET";
        assert_eq!(Preface::Absent.skip(line), Skipped::To(0, None));
        let skipped = Skipped::To(15, Some(Source::Proxy));
        assert_eq!(Preface::Optional.skip(line), skipped);
        assert_eq!(Preface::Required.skip(line), skipped);
        assert_eq!(Preface::Forbidden.skip(line), Skipped::Refused);
        assert_eq!(Preface::Forbidden.skip(b"GET /"), Skipped::To(0, None));
        assert_eq!(Preface::Optional.skip(b"GET /"), Skipped::To(0, None));
        assert_eq!(Preface::Required.skip(b"GET /"), Skipped::Refused);
        assert_eq!(Preface::Optional.skip(b"PROXY \r\n"), Skipped::Refused);
        assert_eq!(Preface::Required.skip(b"PRO"), Skipped::Partial);
    }

    fn socket_address() -> impl Strategy<Value = SocketAddr> {
        any::<(IpAddr, u16)>().prop_map(SocketAddr::from)
    }

    proptest! {
        #[test]
        fn no_bytes_panic_and_no_header_is_longer_than_what_came(
            bytes in prop::collection::vec(any::<u8>(), 0..300),
            begin in prop::sample::select(vec![&b""[..], WORD, &SIGNATURE, b"PROXY TCP4 1.2.3.4 "]),
        ) {
            let bytes = [begin, &bytes].concat();
            if let Parsed::Header { length, .. } = parse(&bytes) {
                prop_assert!(length <= bytes.len());
            }
        }

        #[test]
        fn every_beginning_of_a_header_is_partial_and_what_follows_is_not_looked_at(
            source in socket_address(),
            extensions in prop::collection::vec(any::<u8>(), 0..100),
            after in prop::collection::vec(any::<u8>(), 0..50),
        ) {
            let family = if source.is_ipv4() { "TCP4" } else { "TCP6" };
            let to = if source.is_ipv4() { "10.0.0.1" } else { "::1" };
            let line = format!("PROXY {family} {} {to} {} 80\r\n", source.ip(), source.port());
            for header in [line.into_bytes(), v2(source, &extensions)] {
                for length in 0..header.len() {
                    prop_assert_eq!(parse(&header[..length]), Parsed::Partial);
                }
                let whole = [&header[..], &after].concat();
                let source = Source::Address(source);
                prop_assert_eq!(parse(&whole), Parsed::Header { length: header.len(), source });
            }
        }
    }
}
