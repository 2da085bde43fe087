//! The proxies in front of the relay, and what is believed of what they say.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The proxies in front of the relay, such as the ingress controller, and what is believed of what
/// they say about clients.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Proxies {
    /// Networks (or single addresses) of the proxies that are believed: those of the ingress
    /// controller's pods or nodes.
    #[schemars(length(min = 1, max = 100), inner(length(min = 1, max = 64)))]
    pub trusted: Vec<String>,
    /// The one header in which they say it.
    #[serde(default)]
    pub header: ForwardedHeader,
    /// What becomes of a request that came to them without TLS.
    #[serde(default)]
    pub plaintext: Plaintext,
    /// Whether they say for whom they connect in front of everything else, with the PROXY protocol.
    #[serde(default)]
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
    /// `Forwarded`, which has both.
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
