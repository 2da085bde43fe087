//! Who may do what. Secrets are named, never written here.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::forward::Forward;
use super::jwt::{Grant, Jwt};
use super::tls::CertificateRule;

/// Who may do what. Nothing is open but what it says.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("has(self.forward) || has(self.serviceAccounts) || (has(self.tokens) && self.tokens.size() > 0) || (has(self.jwt) && self.jwt.size() > 0) || (has(self.certificates) && self.certificates.size() > 0) || (has(self.anonymous) && ((has(self.anonymous.publish) && self.anonymous.publish.size() > 0) || (has(self.anonymous.subscribe) && self.anonymous.subscribe.size() > 0)))")
        .message("allows nothing to anybody; name tokens, issuers, or what everybody may do, or remove auth for generated tokens")
)]
pub struct Auth {
    /// Tokens that stand in Secrets of this namespace.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 100))]
    #[x_kube(merge_strategy = kube::core::ListMerge::Map(vec!["name".into()]))]
    pub tokens: Vec<Token>,
    /// Issuers of signed tokens.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 20))]
    #[x_kube(merge_strategy = kube::core::ListMerge::Map(vec!["name".into()]))]
    pub jwt: Vec<Jwt>,
    /// What holders of certificates may do, for which `tls.clientCa` vouches.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 100))]
    #[x_kube(merge_strategy = kube::core::ListMerge::Map(vec!["name".into()]))]
    pub certificates: Vec<CertificateRule>,
    /// The tokens of this cluster's service accounts: what each pod of it may do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service_accounts: Option<ServiceAccounts>,
    /// Name of the cookie that may hold a token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 100))]
    pub cookie: Option<String>,
    /// Parameter of a stream's address that may hold a token. Addresses come into logs and histories
    /// of others: let such tokens be short-lived.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 100))]
    pub query_parameter: Option<String>,
    /// Another application that is asked who sends a request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub forward: Option<Forward>,
    /// What everybody may do, without a credential.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub anonymous: Option<Anonymous>,
}

/// What everybody may do, without a credential.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Anonymous {
    /// Patterns of channels that everybody may publish to.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 100), inner(length(min = 1, max = 200)))]
    pub publish: Vec<String>,
    /// Patterns of channels that everybody may subscribe to.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 100), inner(length(min = 1, max = 200)))]
    pub subscribe: Vec<String>,
}

/// The tokens of this cluster's service accounts. Pods mount one for the audience.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ServiceAccounts {
    /// Names of this relay: a token must be for one of them.
    #[schemars(length(min = 1, max = 20), inner(length(min = 1, max = 500)))]
    pub audiences: Vec<String>,
    /// What every holder may do; `{/kubernetes.io/namespace}` in a pattern stands for its pod's
    /// namespace.
    pub grant: Grant,
}

/// A token that stands in a Secret, and what its holder may do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("(has(self.publish) && self.publish.size() > 0) || (has(self.subscribe) && self.subscribe.size() > 0) || (has(self.manage) && self.manage.size() > 0)")
        .message("allows nothing; say what its holder may publish to, subscribe to or manage")
)]
pub struct Token {
    /// What it is called in logs.
    #[schemars(length(min = 1, max = 100))]
    pub name: String,
    /// Where the token stands. A changed Secret is noticed.
    pub secret: SecretKey,
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
    /// The user or service that it stands for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 100))]
    pub subject: Option<String>,
    /// When it ends. Never, if it is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64), extend("format" = "date-time"))]
    pub expires: Option<String>,
}

/// What a credential may allow besides publishing and subscribing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
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

/// A key of a Secret in the same namespace.
#[derive(
    Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "camelCase")]
pub struct SecretKey {
    /// Name of the Secret.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
    /// The key within it.
    #[schemars(length(min = 1, max = 253))]
    pub key: String,
}
