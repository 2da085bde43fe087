//! For whom a proxy asks: `X-Forwarded-For`, `X-Forwarded-Proto`, and `Forwarded` (RFC 7239).
//!
//! Anybody can send these headers. They are read only on connections from networks that the
//! configuration trusts, only the one header that it names, and from the end: each proxy adds at the
//! end whom it was asked by, so the last address that is no trusted proxy is the one that a trusted
//! proxy vouches for. What stands before it is the client's own claim. Nothing here is ever an error:
//! what cannot be read ends the search, and the client is the last address that could.

use crate::client_address::ClientAddress;
use crate::proxy_protocol::Preface;
use relay_config::{ForwardedHeader, Network, Plaintext, ProxyProtocol};
use std::net::{IpAddr, SocketAddr};

/// Proxies that are looked through at most.
const MAX_HOPS: usize = 32;

/// What only a proxy has a reason to say.
const CLAIMS: [&str; 3] = ["x-forwarded-for", "x-forwarded-proto", "forwarded"];

/// What is believed of proxies.
#[derive(Default)]
pub struct Proxies {
    trusted: Vec<Network>,
    header: ForwardedHeader,
    plaintext: Plaintext,
    protocol: ProxyProtocol,
    /// Whoever connects by a Unix socket is one of them.
    unix: bool,
}

/// Who asks, as far as proxies tell.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Client {
    /// Unknown on a connection that has no address.
    pub address: Option<ClientAddress>,
    /// How the client reached the proxy, if a trusted one says so.
    pub scheme: Option<Scheme>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Scheme {
    Http,
    Https,
}

impl Proxies {
    /// Of a configuration that was validated; what is illegal in one that was not is trusted by
    /// nobody.
    pub fn new(config: &relay_config::Proxies) -> Proxies {
        let networks = config.trusted.iter().map(|text| text.parse().ok());
        Proxies {
            trusted: networks.flatten().collect(),
            header: config.header,
            plaintext: config.plaintext,
            protocol: config.proxy_protocol,
            unix: config.trust_unix_sockets,
        }
    }

    fn trust(&self, ip: IpAddr) -> bool {
        self.trusted.iter().any(|network| network.contains(ip))
    }

    /// Whether a connection from `peer` begins with a header of the PROXY protocol; `None` where it
    /// must and nobody would believe it.
    pub fn preface(&self, peer: Option<SocketAddr>) -> Option<Preface> {
        match (self.protocol, self.trust_peer(peer)) {
            (ProxyProtocol::Off, _) => Some(Preface::Absent),
            (ProxyProtocol::Accept, false) => Some(Preface::Forbidden),
            (ProxyProtocol::Accept, true) => Some(Preface::Optional),
            (ProxyProtocol::Require, true) => Some(Preface::Required),
            (ProxyProtocol::Require, false) => None,
        }
    }

    fn trust_peer(&self, peer: Option<SocketAddr>) -> bool {
        peer.map_or(self.unix, |peer| self.trust(ClientAddress::from(peer).ip()))
    }

    /// Whether a request claims to come from a proxy over a connection that none is trusted on.
    /// `has` says whether it has a header.
    pub fn disbelieves(
        &self,
        peer: Option<SocketAddr>,
        has: impl Fn(&'static str) -> bool,
    ) -> bool {
        CLAIMS.into_iter().any(has) && !self.trust_peer(peer)
    }

    /// Who asks over a connection from `peer`. `values` gives all values of a header, in order.
    pub fn client<'a, V: DoubleEndedIterator<Item = &'a [u8]>>(
        &self,
        peer: Option<SocketAddr>,
        values: impl Fn(&'static str) -> V,
    ) -> Client {
        let trusted = self.trust_peer(peer);
        let peer = peer.map(ClientAddress::from);
        if !trusted {
            return Client {
                address: peer,
                scheme: None,
            };
        }
        match self.header {
            ForwardedHeader::XForwardedFor => {
                let hops = values("x-forwarded-for").rev().flat_map(list_from_the_end);
                let said = values("x-forwarded-proto")
                    .rev()
                    .flat_map(list_from_the_end);
                Client {
                    address: self.last_untrusted(peer, hops.map(address)),
                    scheme: said.map(scheme).next().flatten(),
                }
            }
            ForwardedHeader::Forwarded => {
                let elements: Vec<Element> = values("forwarded").rev().flat_map(elements).collect();
                let hops = elements.iter().map(|element| element.address);
                Client {
                    address: self.last_untrusted(peer, hops),
                    scheme: elements.first().and_then(|element| element.scheme),
                }
            }
        }
    }

    /// `hops` come from the end; `None` is one that cannot be read.
    fn last_untrusted(
        &self,
        peer: Option<ClientAddress>,
        hops: impl Iterator<Item = Option<ClientAddress>>,
    ) -> Option<ClientAddress> {
        let mut client = peer;
        for hop in hops.take(MAX_HOPS) {
            let Some(hop) = hop else { break };
            client = Some(hop);
            if !self.trust(hop.ip()) {
                break;
            }
        }
        client
    }

    /// What becomes of a request that reached a trusted proxy without TLS.
    pub fn over_plaintext(&self, client: Client) -> Plaintext {
        match client.scheme {
            Some(Scheme::Http) => self.plaintext,
            Some(Scheme::Https) | None => Plaintext::Allow,
        }
    }
}

/// The items of a comma-separated list, the last one first.
fn list_from_the_end(value: &[u8]) -> impl Iterator<Item = Option<&str>> {
    value
        .rsplit(|byte| *byte == b',')
        .map(|item| std::str::from_utf8(item).ok().map(str::trim))
}

fn scheme(text: Option<&str>) -> Option<Scheme> {
    match text?.to_ascii_lowercase().as_str() {
        "http" => Some(Scheme::Http),
        "https" => Some(Scheme::Https),
        _ => None,
    }
}

/// An address with or without a port; IPv6 with or without brackets.
fn address(text: Option<&str>) -> Option<ClientAddress> {
    let text = text?;
    let bare = text
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'))
        .unwrap_or(text);
    if let Ok(ip) = bare.parse() {
        return Some(ClientAddress::new(ip, None));
    }
    text.parse::<SocketAddr>().ok().map(ClientAddress::from)
}

/// One proxy's part of a `Forwarded` header.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
struct Element {
    address: Option<ClientAddress>,
    scheme: Option<Scheme>,
}

/// The elements of one header line, the last one first. A line that is not legal is one element that
/// says nothing: where a quote is left open nobody can tell what its sender said.
fn elements(value: &[u8]) -> Vec<Element> {
    let mut elements = std::str::from_utf8(value)
        .ok()
        .and_then(parse_forwarded)
        .unwrap_or_else(|| vec![Element::default()]);
    elements.reverse();
    elements.truncate(MAX_HOPS);
    elements
}

/// RFC 7239, 4: elements between commas, pairs between semicolons, values bare or quoted.
fn parse_forwarded(text: &str) -> Option<Vec<Element>> {
    let mut elements = vec![Element::default()];
    let mut rest = text.trim();
    while !rest.is_empty() {
        if let Some(after) = rest.strip_prefix(',') {
            elements.push(Element::default());
            rest = after.trim_start();
            continue;
        }
        if let Some(after) = rest.strip_prefix(';') {
            rest = after.trim_start();
            continue;
        }
        let (name, after) = rest.split_once('=')?;
        if name.is_empty() || !name.bytes().all(legal_in_token) {
            return None;
        }
        let (value, after) = forwarded_value(after)?;
        rest = after.trim_start();
        if !(rest.is_empty() || rest.starts_with([',', ';'])) {
            return None;
        }
        let element = elements.last_mut()?;
        match name.to_ascii_lowercase().as_str() {
            "for" => element.address = address(Some(&value)),
            "proto" => element.scheme = scheme(Some(&value)),
            _ => {}
        }
    }
    Some(elements)
}

/// A token, or a quoted string without its quotes; and what follows.
fn forwarded_value(text: &str) -> Option<(String, &str)> {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.find([',', ';', ' ', '\t']).unwrap_or(text.len());
        let (value, rest) = text.split_at(end);
        // colons and brackets need quotes, but not everybody knows
        let legal = |b| legal_in_token(b) || matches!(b, b':' | b'[' | b']');
        return value.bytes().all(legal).then(|| (value.to_owned(), rest));
    };
    let mut value = String::new();
    let mut characters = quoted.char_indices();
    while let Some((index, character)) = characters.next() {
        match character {
            '"' => return Some((value, &quoted[index + 1..])),
            '\\' => value.push(characters.next()?.1),
            _ => value.push(character),
        }
    }
    None
}

/// RFC 9110, 5.6.2.
fn legal_in_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn proxies(header: ForwardedHeader) -> Proxies {
        Proxies::new(&relay_config::Proxies {
            trusted: vec!["10.0.0.0/8".to_owned(), "fd00::/8".to_owned()],
            header,
            ..relay_config::Proxies::default()
        })
    }

    fn client(header: ForwardedHeader, peer: &str, lines: &[(&str, &str)]) -> Client {
        let peer: SocketAddr = peer.parse().unwrap();
        proxies(header).client(Some(peer), |name| {
            lines
                .iter()
                .filter(move |(known, _)| *known == name)
                .map(|(_, value)| value.as_bytes())
        })
    }

    const PROXY: &str = "10.0.0.1:999";

    /// The address that is found when a trusted proxy sends these values of X-Forwarded-For.
    fn for_values(values: &[&str]) -> String {
        let lines: Vec<_> = values
            .iter()
            .map(|value| ("x-forwarded-for", *value))
            .collect();
        let client = client(ForwardedHeader::XForwardedFor, PROXY, &lines);
        client.address.unwrap().to_string()
    }

    #[test]
    fn the_last_address_that_is_no_proxy_is_the_clients() {
        assert_eq!(for_values(&["192.0.2.7"]), "192.0.2.7");
        assert_eq!(for_values(&["1.1.1.1, 192.0.2.7"]), "192.0.2.7", "a claim");
        assert_eq!(for_values(&["1.1.1.1,192.0.2.7, 10.9.9.9"]), "192.0.2.7");
        assert_eq!(
            for_values(&["1.1.1.1", "192.0.2.7", "10.1.1.1"]),
            "192.0.2.7"
        );
        assert_eq!(
            for_values(&["10.3.3.3, 10.2.2.2"]),
            "10.3.3.3",
            "all proxies"
        );
        assert_eq!(for_values(&["192.0.2.7:4711"]), "192.0.2.7:4711");
        assert_eq!(for_values(&["2001:db8::7"]), "2001:db8::7");
        assert_eq!(for_values(&["[2001:db8::7]:4711"]), "[2001:db8::7]:4711");
        assert_eq!(for_values(&["[2001:db8::7]"]), "2001:db8::7");
        assert_eq!(for_values(&["::ffff:192.0.2.7"]), "192.0.2.7");
        assert_eq!(for_values(&["1.1.1.1, ::ffff:10.2.2.2"]), "1.1.1.1");
    }

    #[test]
    fn what_cannot_be_read_ends_the_search() {
        assert_eq!(for_values(&[]), PROXY);
        for garbage in [
            "",
            "unknown",
            "_hidden",
            "1.2.3",
            "a b",
            "\u{e4}",
            "1.1.1.1;x",
        ] {
            assert_eq!(for_values(&[garbage]), PROXY, "{garbage}");
            let before = format!("{garbage}, 10.2.2.2");
            assert_eq!(for_values(&[&before]), "10.2.2.2", "{garbage}");
        }
        let long = vec!["10.2.2.2"; 10_000].join(",");
        assert_eq!(for_values(&[&format!("1.1.1.1,{long}")]), "10.2.2.2");
    }

    #[test]
    fn nobody_else_is_believed() {
        let lines = [
            ("x-forwarded-for", "192.0.2.7"),
            ("x-forwarded-proto", "http"),
            ("forwarded", "for=192.0.2.7;proto=http"),
        ];
        for header in [ForwardedHeader::XForwardedFor, ForwardedHeader::Forwarded] {
            let stranger = client(header, "192.0.2.99:1", &lines);
            assert_eq!(stranger.address.unwrap().to_string(), "192.0.2.99:1");
            assert_eq!(stranger.scheme, None);
            let nowhere = proxies(header).client(None, |_| std::iter::empty());
            assert_eq!(nowhere, Client::default());
        }
        // the other header is one that the proxy passed on
        let passed = client(ForwardedHeader::Forwarded, PROXY, &lines[..2]);
        assert_eq!(passed.address.unwrap().to_string(), PROXY);
        assert_eq!(passed.scheme, None);
        let passed = client(ForwardedHeader::XForwardedFor, PROXY, &lines[2..]);
        assert_eq!(passed.address.unwrap().to_string(), PROXY);
    }

    #[test]
    fn the_protocol_is_what_the_nearest_proxy_says() {
        let said = |value| {
            let lines = [("x-forwarded-proto", value)];
            client(ForwardedHeader::XForwardedFor, PROXY, &lines).scheme
        };
        assert_eq!(said("https"), Some(Scheme::Https));
        assert_eq!(said("https, HTTP"), Some(Scheme::Http));
        assert_eq!(said("wss"), None);
        assert_eq!(said(""), None);
    }

    #[test]
    fn plaintext_is_what_a_trusted_proxy_calls_so() {
        let proxies = Proxies::new(&relay_config::Proxies {
            plaintext: Plaintext::Refuse,
            ..relay_config::Proxies::default()
        });
        let over = |scheme| {
            proxies.over_plaintext(Client {
                scheme,
                ..Client::default()
            })
        };
        assert_eq!(over(Some(Scheme::Http)), Plaintext::Refuse);
        assert_eq!(over(Some(Scheme::Https)), Plaintext::Allow);
        assert_eq!(over(None), Plaintext::Allow);
    }

    fn forwarded(values: &[&str]) -> (String, Option<Scheme>) {
        let lines: Vec<_> = values.iter().map(|value| ("forwarded", *value)).collect();
        let client = client(ForwardedHeader::Forwarded, PROXY, &lines);
        (client.address.unwrap().to_string(), client.scheme)
    }

    #[test]
    fn forwarded_is_read_as_its_standard_says() {
        for (values, address, scheme) in [
            (
                vec!["for=192.0.2.7;proto=https;by=10.0.0.1"],
                "192.0.2.7",
                Some(Scheme::Https),
            ),
            (
                vec!["For=1.1.1.1, for=\"[2001:db8::7]:4711\" ; Proto=HTTP"],
                "[2001:db8::7]:4711",
                Some(Scheme::Http),
            ),
            (
                vec!["for=192.0.2.7", "for=10.2.2.2;host=\"a,b;c\\\"d\""],
                "192.0.2.7",
                None,
            ),
            (vec!["for=192.0.2.7:80"], "192.0.2.7:80", None),
            (vec!["for=_hidden"], PROXY, None),
            (vec!["for=unknown, for=10.2.2.2"], "10.2.2.2", None),
            // whoever leaves a quote open hides behind the proxy, and is nobody else
            (vec!["for=\"1.1.1.1, for=192.0.2.7"], PROXY, None),
            (vec!["for=1.1.1.1 for=2.2.2.2"], PROXY, None),
            (vec!["=x"], PROXY, None),
            (vec!["for"], PROXY, None),
            (vec![""], PROXY, None),
        ] {
            assert_eq!(
                forwarded(&values),
                (address.to_owned(), scheme),
                "{values:?}"
            );
        }
    }

    proptest! {
        #[test]
        fn whatever_stands_before_it_the_proxys_own_word_holds(claim in "[ -~]{0,60}") {
            prop_assert_eq!(for_values(&[&format!("{claim},192.0.2.7")]), "192.0.2.7");
            prop_assert_eq!(for_values(&[&claim, "192.0.2.7"]), "192.0.2.7");
            let separate = forwarded(&[&claim, "for=192.0.2.7"]).0;
            prop_assert_eq!(separate, "192.0.2.7");
            // in one line a quote may swallow it: then nobody is named
            let joined = forwarded(&[&format!("{claim}, for=192.0.2.7")]).0;
            prop_assert!(joined == "192.0.2.7" || joined == PROXY, "{}", joined);
        }

        #[test]
        fn no_bytes_panic(value in prop::collection::vec(any::<u8>(), 0..80)) {
            let _ = elements(&value);
            let _ = list_from_the_end(&value).map(address).count();
        }
    }
}
