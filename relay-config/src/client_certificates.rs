//! Certificates of clients as credentials.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::auth::Right;

/// What the holder of a certificate may do, once an authority in `tls.clientCa` vouches for it. Says
/// either `subject` or `san`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CertificateRule {
    /// What it is called in logs, lists and revocations; no token has the same name.
    #[schemars(length(min = 1, max = 100))]
    pub name: String,
    /// The certificate's whole subject, as RFC 4514 writes it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(example = &"CN=backend,O=Example")]
    pub subject: Option<String>,
    /// One of its further names (SAN): a DNS name, a URI or an address of e-mail.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(example = &"spiffe://example.org/backend")]
    pub san: Option<String>,
    /// Patterns of channels that its holder may publish to.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub publish: Vec<String>,
    /// Patterns of channels that its holder may subscribe to.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub subscribe: Vec<String>,
    /// What else its holder may do.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub manage: Vec<Right>,
}
