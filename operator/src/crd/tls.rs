//! TLS in the relay's own pods.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::auth::Right;
use super::server::Authorities;

/// TLS in the relay's own pods: its Service is https then, on port 443. An Ingress or a Gateway ends
/// TLS by itself and speaks plain HTTP with pods, so it goes with neither.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("!has(self.clientAuth) || self.clientAuth == 'None' || has(self.clientCa)")
        .message("name the authorities whose clients are believed, in clientCa")
        .field_path(".clientCa")
)]
pub struct Tls {
    /// Secret with `tls.crt` and `tls.key`, as cert-manager makes it. A renewed one is taken without a
    /// restart.
    #[schemars(length(min = 1, max = 253))]
    pub secret_name: String,
    /// The oldest version of TLS that is spoken.
    #[serde(default)]
    pub min_version: TlsVersion,
    /// Whether clients show a certificate of their own.
    #[serde(default)]
    pub client_auth: ClientAuth,
    /// Certificates of the authorities whose clients are believed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_ca: Option<Authorities>,
}

/// A version of TLS.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum TlsVersion {
    /// TLS 1.2.
    #[default]
    #[serde(rename = "1.2")]
    Tls12,
    /// TLS 1.3.
    #[serde(rename = "1.3")]
    Tls13,
}

/// Whether clients show a certificate of their own.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum ClientAuth {
    /// They are not asked for one.
    #[default]
    None,
    /// They may; a wrong one is refused.
    Optional,
    /// Nobody connects without one.
    Required,
}

/// What the holder of a certificate may do, once an authority in `tls.clientCa` vouches for it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("has(self.subject) != has(self.san)")
        .message("name exactly one of subject and san"),
    validation = Rule::new("(has(self.publish) && self.publish.size() > 0) || (has(self.subscribe) && self.subscribe.size() > 0) || (has(self.manage) && self.manage.size() > 0)")
        .message("allows nothing; say what its holder may publish to, subscribe to or manage")
)]
pub struct CertificateRule {
    /// What it is called in logs, lists and revocations; no token has the same name.
    #[schemars(length(min = 1, max = 100))]
    pub name: String,
    /// The certificate's whole subject, as RFC 4514 writes it: `CN=backend,O=Example`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 500))]
    pub subject: Option<String>,
    /// One of its further names (SAN): a DNS name, a URI or an address of e-mail.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 500))]
    pub san: Option<String>,
    /// Patterns of channels that its holder may publish to.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 100), inner(length(min = 1, max = 200)))]
    pub publish: Vec<String>,
    /// Patterns of channels that its holder may subscribe to.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 100), inner(length(min = 1, max = 200)))]
    pub subscribe: Vec<String>,
    /// What else its holder may do.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 10))]
    pub manage: Vec<Right>,
}
