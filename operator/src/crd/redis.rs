//! The Redis through which replicas share their log.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::text::Span;

/// The Redis (7.0 and later) or Valkey through which replicas share their log. With it there may be
/// more than one replica, and a restart loses nothing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("has(self.external)")
        .message("says not where Redis is; name it in external"),
    validation = Rule::new("has(self.prefix) == has(oldSelf.prefix) && (!has(self.prefix) || self.prefix == oldSelf.prefix)")
        .message("the log stays under the prefix that it began with; to begin another one, make another SseRelay")
        .field_path(".prefix")
)]
pub struct Redis {
    /// A Redis that somebody else runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub external: Option<ExternalRedis>,
    /// What every key and channel in Redis begins with, so that relays can share one. Left out, it
    /// is derived from namespace and name, and no other relay has the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 64), regex(pattern = "^[A-Za-z0-9_.:/-]+$"))]
    pub prefix: Option<String>,
}

/// A Redis that somebody else runs: exactly one of `standalone`, `sentinel` and `cluster`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("(has(self.standalone) ? 1 : 0) + (has(self.sentinel) ? 1 : 0) + (has(self.cluster) ? 1 : 0) == 1")
        .message("name exactly one of standalone, sentinel and cluster"),
    validation = Rule::new("has(self.cluster) == has(oldSelf.cluster)")
        .message("a log cannot move into or out of a Cluster, which divides it otherwise; to begin another one, make another SseRelay")
        .field_path(".cluster")
)]
pub struct ExternalRedis {
    /// One server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub standalone: Option<Standalone>,
    /// A primary that Sentinels name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sentinel: Option<Sentinel>,
    /// A Redis Cluster.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cluster: Option<Cluster>,
    /// Who the relay is to Redis; the user `default` without a password, if it is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credentials: Option<RedisCredentials>,
    /// Encrypts the way to Redis, and to Sentinels.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<RedisTls>,
    /// Time for a connection; 1s, if it is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub connect_timeout: Option<Span>,
    /// Time for the answer to a command; 1s, if it is left out. Past it a publish gets 503.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub command_timeout: Option<Span>,
}

/// One server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Standalone {
    /// Its name or address, with `:port` unless that is 6379.
    #[schemars(
        length(min = 1, max = 260),
        regex(pattern = r"^([A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(:[0-9]{1,5})?$")
    )]
    pub host: String,
    /// Which of its databases.
    #[serde(default)]
    #[schemars(range(min = 0, max = 10_000))]
    pub database: i32,
}

/// A primary that Sentinels name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Sentinel {
    /// What the Sentinels call it.
    #[schemars(length(min = 1, max = 200), regex(pattern = r"^[A-Za-z0-9._-]+$"))]
    pub master: String,
    /// The Sentinels, with `:port` unless that is 26379.
    #[schemars(
        length(min = 1, max = 16),
        inner(
            length(min = 1, max = 260),
            regex(pattern = r"^([A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(:[0-9]{1,5})?$")
        )
    )]
    pub hosts: Vec<String>,
    /// Who the relay is to the Sentinels, whose users are not those of the primary.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credentials: Option<RedisCredentials>,
    /// Which of the primary's databases.
    #[serde(default)]
    #[schemars(range(min = 0, max = 10_000))]
    pub database: i32,
}

/// A Redis Cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Cluster {
    /// Some of its nodes, with `:port` unless that is 6379. The others are learned from them.
    #[schemars(
        length(min = 1, max = 64),
        inner(
            length(min = 1, max = 260),
            regex(pattern = r"^([A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(:[0-9]{1,5})?$")
        )
    )]
    pub hosts: Vec<String>,
}

/// A user of Redis, whose password stands in a Secret of this namespace. A changed password is taken
/// without a restart.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("!has(self.username) || !has(self.usernameKey)")
        .message("username and usernameKey exclude each other; remove one")
        .field_path(".usernameKey")
)]
pub struct RedisCredentials {
    /// Name of the Secret.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
    /// The key with the password.
    #[serde(default = "password")]
    #[schemars(length(min = 1, max = 253))]
    pub password_key: String,
    /// The user; `default`, if this and `usernameKey` are left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 200))]
    pub username: Option<String>,
    /// The key with the user's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub username_key: Option<String>,
}

fn password() -> String {
    "password".to_owned()
}

/// TLS towards Redis. Without `ca` the system's certificate authorities count.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RedisTls {
    /// Certificate authorities (PEM) to trust instead of the system's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca: Option<Authorities>,
    /// Secret of the type `kubernetes.io/tls` with the certificate that the relay shows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub certificate_secret: Option<String>,
    /// The name that the servers' certificates must carry, if it is not the host that is connected to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub server_name: Option<String>,
}

/// A key with certificate authorities, in a Secret or a ConfigMap of this namespace.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Authorities {
    /// Whether it is a Secret or a ConfigMap.
    #[serde(default)]
    pub kind: KeyKind,
    /// Its name.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
    /// The key within it.
    #[serde(default = "ca_crt")]
    #[schemars(length(min = 1, max = 253))]
    pub key: String,
}

fn ca_crt() -> String {
    "ca.crt".to_owned()
}

/// What holds a key.
#[derive(
    Debug,
    Clone,
    Copy,
    Default,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    JsonSchema,
)]
pub enum KeyKind {
    /// A Secret.
    #[default]
    Secret,
    /// A ConfigMap.
    ConfigMap,
}
