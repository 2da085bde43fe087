//! Whom a proof may reach: an address that somebody writes into a resource must lead the operator
//! neither to itself nor to its node.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use reqwest::dns::{Addrs, Name, Resolve, Resolving};

/// Whether addresses of loopback may be reached: only where a test has everything there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Loopback {
    /// They are not.
    Refused,
    /// They are.
    Allowed,
}

/// A host whose addresses may all not be reached.
#[derive(Debug, thiserror::Error)]
#[error("it leads to an address of the node or of the operator itself, which is not asked")]
pub struct Refused;

/// Finds addresses of hosts, without those that may not be reached.
pub struct Guard(pub Loopback);

impl Resolve for Guard {
    fn resolve(&self, name: Name) -> Resolving {
        let loopback = self.0;
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            let allowed: Vec<SocketAddr> = found
                .filter(|address| may_be_reached(address.ip(), loopback))
                .collect();
            match allowed.is_empty() {
                true => Err(Refused.into()),
                false => Ok(Box::new(allowed.into_iter()) as Addrs),
            }
        })
    }
}

/// Whether an address is neither of the link (where clouds tell their secrets) nor of loopback, nor of
/// everybody.
#[must_use]
pub fn may_be_reached(address: IpAddr, loopback: Loopback) -> bool {
    match address {
        IpAddr::V4(v4) => {
            let of_loopback = v4.is_loopback() && loopback == Loopback::Refused;
            !of_loopback
                && !v4.is_link_local()
                && !v4.is_unspecified()
                && !v4.is_broadcast()
                && !v4.is_multicast()
        }
        IpAddr::V6(v6) => match embedded(v6) {
            Some(v4) => may_be_reached(v4.into(), loopback),
            None => {
                let of_loopback = v6.is_loopback() && loopback == Loopback::Refused;
                !of_loopback
                    && !v6.is_unicast_link_local()
                    && !v6.is_unspecified()
                    && !v6.is_multicast()
            }
        },
    }
}

/// The address of version 4 that one of version 6 means (RFC 4291, RFC 6052).
fn embedded(v6: Ipv6Addr) -> Option<std::net::Ipv4Addr> {
    let [a, b, rest @ ..] = v6.octets();
    let translated = [a, b] == [0, 0x64] && rest[..2] == [0xff, 0x9b] && rest[2..10] == [0; 8];
    let last = || std::net::Ipv4Addr::new(rest[10], rest[11], rest[12], rest[13]);
    v6.to_ipv4_mapped().or_else(|| translated.then(last))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neither_the_node_nor_the_operator_itself_is_reached() {
        for refused in [
            "127.0.0.1",
            "169.254.169.254",
            "0.0.0.0",
            "224.0.0.1",
            "255.255.255.255",
            "::1",
            "::",
            "fe80::1",
            "ff02::1",
            "::ffff:169.254.169.254",
            "::ffff:127.0.0.1",
            "64:ff9b::a9fe:a9fe",
        ] {
            let address = refused.parse().unwrap();
            assert!(!may_be_reached(address, Loopback::Refused), "{refused}");
        }
        for allowed in ["198.18.0.1", "10.1.2.3", "2001:db8::1", "64:ff9b::c612:1"] {
            let address = allowed.parse().unwrap();
            assert!(may_be_reached(address, Loopback::Refused), "{allowed}");
        }
        assert!(may_be_reached(
            "127.0.0.1".parse().unwrap(),
            Loopback::Allowed
        ));
    }
}
