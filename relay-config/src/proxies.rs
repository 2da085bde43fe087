//! The proxies in front of the relay, and what is believed of what they say.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use ipnet::IpNet;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The proxies in front of the relay, and what is believed of what they say about clients.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Proxies {
    /// Networks (or single addresses) of the proxies that are believed. What others say about
    /// whom they forward for is ignored.
    #[schemars(example = &"10.0.0.0/8")]
    pub trusted: Vec<String>,
    /// Whether a proxy is believed that connects by a Unix socket (`unixSockets`).
    pub trust_unix_sockets: bool,
    /// The one header in which they say it. Others are ignored, since a proxy passes on those that
    /// it does not write.
    pub header: ForwardedHeader,
    /// What becomes of a request that came to them without TLS.
    pub plaintext: Plaintext,
    /// Whether they say for whom they connect in front of everything else, with the PROXY
    /// protocol (versions 1 and 2).
    pub proxy_protocol: ProxyProtocol,
}

/// Whether trusted proxies speak the PROXY protocol.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum ProxyProtocol {
    /// They do not.
    #[default]
    Off,
    /// A connection of theirs may begin with it.
    Accept,
    /// Every connection begins with it, and only they connect.
    Require,
}

/// The header in which a proxy says for whom it asks.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum ForwardedHeader {
    /// `X-Forwarded-For`, and `X-Forwarded-Proto` for the protocol.
    #[default]
    #[serde(rename = "X-Forwarded-For")]
    XForwardedFor,
    /// `Forwarded` (RFC 7239), which has both.
    #[serde(rename = "Forwarded")]
    Forwarded,
}

/// What becomes of a request of which a trusted proxy says that it came without TLS.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Plaintext {
    /// It is served.
    #[default]
    Allow,
    /// It is refused.
    Refuse,
    /// What only reads is sent to the same address with https; the rest is refused.
    Redirect,
}

/// A network of addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Network(IpNet);

/// Why a text is no network.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no network; write one such as `10.0.0.0/8` or `2001:db8::/32`, or one address")]
pub struct NetworkError(String);

impl Network {
    /// Whether an address is one of it. IPv4 addresses that are written as IPv6 are the same.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        self.0.contains(&address.to_canonical())
    }
}

impl FromStr for Network {
    type Err = NetworkError;

    fn from_str(text: &str) -> Result<Self, NetworkError> {
        let network = text.parse::<IpNet>().or_else(|_| {
            let address: Result<IpAddr, _> = text.parse();
            address.map(IpNet::from)
        });
        let network = network.map_err(|_| NetworkError(text.to_owned()))?;
        Ok(Self(network.trunc()))
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_contains_its_addresses_and_no_others() {
        let contains = |network: &str, address: &str| {
            let network: Network = network.parse().unwrap();
            network.contains(address.parse().unwrap())
        };
        assert!(contains("10.0.0.0/8", "10.255.0.1") && !contains("10.0.0.0/8", "11.0.0.1"));
        assert!(contains("10.1.2.3/8", "10.9.9.9"), "bits of a host");
        assert!(contains("192.0.2.7", "192.0.2.7") && !contains("192.0.2.7", "192.0.2.8"));
        assert!(contains("10.0.0.0/8", "::ffff:10.0.0.1"));
        assert!(contains("2001:db8::/32", "2001:db8:1::1"));
        assert!(!contains("0.0.0.0/0", "2001:db8::1"));
        assert!(contains("0.0.0.0/0", "192.0.2.1"));
    }

    #[test]
    fn what_is_no_network_is_refused() {
        for text in ["", "10.0.0.0/33", "10.0.0", "example.com", "10.0.0.0/-1"] {
            let error = text.parse::<Network>().unwrap_err().to_string();
            assert!(error.contains("10.0.0.0/8"), "{error}");
        }
    }
}
