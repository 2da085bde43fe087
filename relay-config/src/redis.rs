//! The Redis servers that replicas share their event log through.

mod acl;
mod target;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::client_tls::ClientTls;
use crate::timespan::Timespan;

pub use acl::RedisRole;
pub use target::{RedisAddress, RedisMode, RedisServer, RedisTarget};

/// The Redis (7.0 and later) or Valkey that replicas share their event log through: exactly one
/// of `url`, `sentinel` and `cluster`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Redis {
    /// One server: `redis://host:6379`, `rediss://…` with TLS, `unix:///path`. A database number
    /// may follow as `/1` (`?db=1` with `unix`). Credentials have their own section.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(
        example = &"redis://redis:6379",
        example = &"rediss://redis.example.com:6380/2"
    )]
    pub url: Option<String>,
    /// A primary that Sentinels name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sentinel: Option<RedisSentinel>,
    /// A Redis Cluster.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cluster: Option<RedisCluster>,
    /// What every key and channel of this relay begins with, so that several relays can share
    /// one Redis. Letters, digits, `-`, `_`, `.`, `:` and `/`.
    #[schemars(length(min = 1, max = 64))]
    pub prefix: String,
    /// Who the relay is to Redis. Without it, the `default` user without a password.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub credentials: Option<RedisCredentials>,
    /// TLS towards Redis, for `rediss://` and where the section is there with `sentinel` or
    /// `cluster`. Without files the system's certificate authorities count.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls: Option<RedisTls>,
    /// Time for a connection with TLS, credentials and the first answer.
    pub connect_timeout: Timespan,
    /// Time for the answer to a command. Past it a publish is answered with 503, and the
    /// connection is made anew.
    pub command_timeout: Timespan,
    /// The least time between two calls to Redis while publishes come in a stream, so that they share
    /// calls: what a publish waits at most, to within a millisecond. One after a quiet while goes at
    /// once, and who waits for each answer is hardly held up. At most 100ms; with 0s nothing waits.
    /// 2ms, unless it is set.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(example = &"0s")]
    pub publish_window: Option<Timespan>,
    /// So many replicas of Redis must have a publish before it is answered with success. They have
    /// 40 % of `commandTimeout` for that; a publish that they do not have by then is in the log, and
    /// is answered with 503 `not-replicated` and its id. None, unless it is set.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 16))]
    pub min_replicas_ack: Option<u32>,
}

/// More replicas than anybody has.
pub(crate) const MAX_REPLICAS_ACK: u32 = 16;

/// `publishWindow`, if it is left out.
const PUBLISH_WINDOW: Timespan = Timespan::from_millis(2);
/// The longest one.
pub(crate) const MAX_PUBLISH_WINDOW: Timespan = Timespan::from_millis(100);

impl Redis {
    /// The least time between two calls, whether it is set or not.
    #[must_use]
    pub fn window(&self) -> Timespan {
        self.publish_window.unwrap_or(PUBLISH_WINDOW)
    }
}

impl Default for Redis {
    fn default() -> Self {
        Self {
            url: None,
            sentinel: None,
            cluster: None,
            prefix: "sse-relay".to_owned(),
            credentials: None,
            tls: None,
            connect_timeout: Timespan::from_secs(1),
            command_timeout: Timespan::from_secs(1),
            publish_window: None,
            min_replicas_ack: None,
        }
    }
}

/// Sentinels, and the primary to ask them for.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct RedisSentinel {
    /// What the Sentinels call the primary.
    #[schemars(example = &"mymaster")]
    pub service: String,
    /// The Sentinels, as `host:port`; 26379 if the port is left out. Any of them that answers is
    /// asked.
    pub nodes: Vec<String>,
    /// Who the relay is to the Sentinels, whose users are not those of the primary.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub credentials: Option<RedisCredentials>,
    /// The database number on the primary.
    pub database: u32,
}

/// A Redis Cluster.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct RedisCluster {
    /// Some of its nodes, as `host:port`; 6379 if the port is left out. The others are learned
    /// from them.
    pub nodes: Vec<String>,
}

/// A user and where its password is to be found. The password itself never stands here.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct RedisCredentials {
    /// The ACL user; the `default` user if it is left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub username: Option<String>,
    /// A file that holds the password; a line end after it is left away. It is read again when
    /// it changes, without a restart.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(example = &"/run/secrets/redis/password")]
    pub password_file: Option<String>,
    /// Name of an environment variable that holds the password, or a URL (`redis://…`) with user and
    /// password in it, as some platforms give it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(example = &"REDIS_PASSWORD")]
    pub password_variable: Option<String>,
}

/// TLS towards Redis.
pub type RedisTls = ClientTls;
