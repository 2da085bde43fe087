//! The Redis through which replicas share their log.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::Toleration;
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::server::{ServerCredentials, ServerTls};
use super::text::{Bytes, Span};

/// The Redis (7.0 and later) or Valkey through which replicas share their log. With it there may be
/// more than one replica, and a restart loses nothing.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("has(self.managed) != has(self.external)")
        .message("name exactly one of managed, which the operator runs, and external"),
    validation = Rule::new("has(self.managed) == has(oldSelf.managed)")
        .message("the log does not move from one Redis to another, and an empty one would begin; make another SseRelay for that")
        .field_path(".managed"),
    validation = Rule::new("has(self.prefix) == has(oldSelf.prefix) && (!has(self.prefix) || self.prefix == oldSelf.prefix)")
        .message("the log stays under the prefix that it began with; to begin another one, make another SseRelay")
        .field_path(".prefix")
)]
pub struct Redis {
    /// One Redis that the operator runs for this relay alone, with its log on a volume. While it is
    /// replaced streams stay open, and publishing gets 503.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub managed: Option<ManagedRedis>,
    /// A Redis that somebody else runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub external: Option<ExternalRedis>,
    /// What every key and channel in Redis begins with, so that relays can share one. Left out, it
    /// is derived from namespace and name, and no other relay has the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 64), regex(pattern = "^[A-Za-z0-9_.:/-]+$"))]
    pub prefix: Option<String>,
}

/// One Redis that the operator runs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ManagedRedis {
    /// Image of Redis (7.0 and later) or Valkey, with its tag or digest. Left out, it is the
    /// operator's own choice when the resource is created and stays that, unless `upgradePolicy`
    /// says otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(
        length(min = 1, max = 400),
        regex(pattern = "^[a-z0-9][a-zA-Z0-9._:/-]*(@sha256:[0-9a-f]{64})?$")
    )]
    pub image: Option<String>,
    /// Memory of its pod. Seven tenths of it are for events; past that publishes are refused.
    #[serde(default = "half_a_gibibyte")]
    pub memory: Bytes,
    /// The volume that its log is on.
    #[serde(default)]
    pub storage: Storage,
    /// What becomes of the volume when the SseRelay is deleted.
    #[serde(default)]
    pub deletion_policy: DeletionPolicy,
    /// Labels that its node must have.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 64))]
    pub node_selector: BTreeMap<String, String>,
    /// Taints of nodes that are no hindrance.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32))]
    pub tolerations: Vec<Toleration>,
    /// Name of the PriorityClass.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub priority_class_name: Option<String>,
}

/// The volume that the log of Redis is on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("quantity(string(self.size)).compareTo(quantity(string(oldSelf.size))) >= 0")
        .message("a volume can grow, not shrink; write at least what it has")
        .field_path(".size"),
    validation = Rule::new("has(self.className) == has(oldSelf.className) && (!has(self.className) || self.className == oldSelf.className)")
        .message("a volume stays in its class; to begin with another one, make another SseRelay")
        .field_path(".className")
)]
pub struct Storage {
    /// Its size, at least twice the memory. It can grow later, where its class allows that.
    #[serde(default = "four_gibibytes")]
    pub size: Bytes,
    /// Name of the StorageClass; the cluster's default one, if it is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub class_name: Option<String>,
}

impl Default for Storage {
    fn default() -> Self {
        Self {
            size: four_gibibytes(),
            class_name: None,
        }
    }
}

/// What becomes of the volume when the SseRelay is deleted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum DeletionPolicy {
    /// It goes too, and the log with it.
    #[default]
    Delete,
    /// It stays: an SseRelay of the same name finds its log again.
    Retain,
}

fn half_a_gibibyte() -> Bytes {
    Bytes("512Mi".to_owned())
}

fn four_gibibytes() -> Bytes {
    Bytes("4Gi".to_owned())
}

/// A Redis that somebody else runs: exactly one of `standalone`, `sentinel` and `cluster`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("(has(self.standalone) ? 1 : 0) + (has(self.sentinel) ? 1 : 0) + (has(self.cluster) ? 1 : 0) == 1")
        .message("name exactly one of standalone, sentinel and cluster"),
    validation = Rule::new("has(self.cluster) == has(oldSelf.cluster)")
        .message("a log cannot move into or out of a Cluster, which divides it otherwise; to begin another one, make another SseRelay")
        .field_path(".cluster"),
    validation = Rule::new("!has(self.standalone) || has(oldSelf.cluster) || self.standalone.database == (has(oldSelf.standalone) ? oldSelf.standalone.database : has(oldSelf.sentinel) ? oldSelf.sentinel.database : 0)")
        .message("the log stays in the database that it began in; to begin another one, make another SseRelay")
        .field_path(".standalone.database"),
    validation = Rule::new("!has(self.sentinel) || has(oldSelf.cluster) || self.sentinel.database == (has(oldSelf.standalone) ? oldSelf.standalone.database : has(oldSelf.sentinel) ? oldSelf.sentinel.database : 0)")
        .message("the log stays in the database that it began in, also behind Sentinels; to begin another one, make another SseRelay")
        .field_path(".sentinel.database")
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
    /// Who the relay is to Redis; the user `default` without a password, if it is left out. A changed
    /// password is taken without a restart.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credentials: Option<ServerCredentials>,
    /// Encrypts the way to Redis, and to Sentinels.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<ServerTls>,
    /// Time for a connection; 1s, if it is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub connect_timeout: Option<Span>,
    /// Time for the answer to a command; 1s, if it is left out. Past it a publish gets 503.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub command_timeout: Option<Span>,
    /// So many replicas of Redis must have a publish before it is answered with success; none, if it
    /// is left out. A publish that they do not have in time is in the log, and gets 503.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 16))]
    pub min_replicas_ack: Option<i32>,
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
    pub credentials: Option<ServerCredentials>,
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
