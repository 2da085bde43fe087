//! What must hold of `proxies`.

use super::Problems;
use crate::proxies::{Network, Plaintext, Proxies, ProxyProtocol};

/// The most networks of proxies: each is compared for each connection.
const MAX_NETWORKS: usize = 1_000;

pub(super) fn check(problems: &mut Problems, proxies: &Proxies) {
    let nobody = proxies.trusted.is_empty() && !proxies.trust_unix_sockets;
    for (index, text) in proxies.trusted.iter().enumerate() {
        if let Err(error) = text.parse::<Network>() {
            problems.add(format!("proxies.trusted[{index}]"), error.to_string());
        }
    }
    problems.add_if(
        proxies.trusted.len() > MAX_NETWORKS,
        "proxies.trusted",
        "has more than 1000 entries; write wider networks",
    );
    problems.add_if(
        proxies.plaintext != Plaintext::Allow && nobody,
        "proxies.plaintext",
        "has no effect: only a proxy that is believed can tell whether a client used TLS; name it \
         in `proxies.trusted`",
    );
    problems.add_if(
        proxies.proxy_protocol != ProxyProtocol::Off && nobody,
        "proxies.proxyProtocol",
        "believes nobody: anybody can send its header; name the proxies in `proxies.trusted`",
    );
}
