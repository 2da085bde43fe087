//! Who may do what: credentials, and what each allows.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::client_certificates::CertificateRule;
use crate::cookie::Cookie;
use crate::forward::Forward;
use crate::jwt::Jwt;

/// Credentials. Once this section is there, nothing is open but what it says.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Auth {
    /// Tokens that are known in advance. Only their hashes stand here.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tokens: Vec<StaticToken>,
    /// Issuers of signed tokens (JWT).
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub jwt: Vec<Jwt>,
    /// Certificates of clients that are credentials. `tls.clientAuth` must ask for them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub certificates: Vec<CertificateRule>,
    /// The cookie that may hold a token.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cookie: Option<Cookie>,
    /// Parameter of `GET /v1/events` that may hold a token, such as `token`. Addresses come into logs
    /// and histories of others: let such tokens be short-lived.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(example = &"token")]
    pub query_parameter: Option<String>,
    /// Another application that is asked who sends a request.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub forward: Option<Forward>,
    /// What everybody may do, without a credential.
    pub anonymous: Anonymous,
}

/// What everybody may do, without a credential.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Anonymous {
    /// Patterns of channels that everybody may publish to.
    pub publish: Vec<String>,
    /// Patterns of channels that everybody may subscribe to.
    pub subscribe: Vec<String>,
}

/// A token that is known in advance; `sse-relay token new` makes one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct StaticToken {
    /// What it is called in logs.
    #[schemars(length(min = 1, max = 100))]
    pub name: String,
    /// SHA-256 of the token, in hexadecimal.
    #[schemars(regex(pattern = "^[0-9a-fA-F]{64}$"))]
    pub sha256: String,
    /// Patterns of channels that its holder may publish to.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub publish: Vec<String>,
    /// Patterns of channels that its holder may subscribe to.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub subscribe: Vec<String>,
    /// What else its holder may do.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub manage: Vec<Right>,
    /// The user or service that it stands for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// When it ends, in RFC 3339. Never, if it is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(example = &"2027-01-01T00:00:00Z")]
    pub expires: Option<String>,
}

/// What a credential may allow besides publishing and subscribing.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "camelCase")]
pub enum Right {
    /// See channels, connections, clients and the status.
    Observe,
    /// Send events to one stream, or to all streams of a subject.
    Direct,
    /// End streams, and refuse credentials.
    Disconnect,
    /// Make tickets for any subject.
    Tickets,
    /// Drop all events of a channel.
    Purge,
}

impl Right {
    /// All of them.
    pub const ALL: [Right; 5] = [
        Right::Observe,
        Right::Direct,
        Right::Disconnect,
        Right::Tickets,
        Right::Purge,
    ];

    /// As the configuration writes it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Right::Observe => "observe",
            Right::Direct => "direct",
            Right::Disconnect => "disconnect",
            Right::Tickets => "tickets",
            Right::Purge => "purge",
        }
    }
}
