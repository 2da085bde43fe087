//! The Redis that a source reads, which is not the one of the event log unless it says so.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::redis::{Redis, RedisCluster, RedisCredentials, RedisSentinel, RedisTls};
use crate::timespan::Timespan;
use crate::validate::Problem;

/// A Redis or Valkey that is read: exactly one of `url`, `sentinel` and `cluster`, as in the section
/// `redis` of the document.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct SourceRedis {
    /// One server: `redis://host:6379`, `rediss://…` with TLS, `unix:///path`. A database number may
    /// follow as `/1`. Credentials have their own section.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(example = &"redis://redis:6379")]
    pub url: Option<String>,
    /// A primary that Sentinels name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sentinel: Option<RedisSentinel>,
    /// A Redis Cluster.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cluster: Option<RedisCluster>,
    /// Who the relay is to this Redis.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub credentials: Option<RedisCredentials>,
    /// TLS, for `rediss://` and where the section is there with `sentinel` or `cluster`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls: Option<RedisTls>,
    /// Time for a connection with TLS, credentials and the first answer.
    pub connect_timeout: Timespan,
}

/// How long an answer of a server that events are pulled from may take. Nobody waits for it, and some
/// questions wait for messages.
const COMMAND_TIMEOUT: Timespan = Timespan::from_secs(5);

impl Default for SourceRedis {
    fn default() -> Self {
        Self {
            url: None,
            sentinel: None,
            cluster: None,
            credentials: None,
            tls: None,
            connect_timeout: Timespan::from_secs(5),
        }
    }
}

impl SourceRedis {
    /// The same as a section `redis`. Its prefix means nothing.
    #[must_use]
    pub fn settings(&self) -> Redis {
        Redis {
            url: self.url.clone(),
            sentinel: self.sentinel.clone(),
            cluster: self.cluster.clone(),
            credentials: self.credentials.clone(),
            tls: self.tls.clone(),
            connect_timeout: self.connect_timeout,
            command_timeout: COMMAND_TIMEOUT,
            ..Redis::default()
        }
    }

    /// What is wrong; paths begin with `path`.
    pub(super) fn problems(&self, path: &str) -> Vec<Problem> {
        let problems = self.settings().target().err().unwrap_or_default();
        let here = |problem: Problem| Problem {
            path: match problem.path.strip_prefix("redis") {
                Some(rest) => format!("{path}{rest}"),
                None => problem.path,
            },
            message: problem.message.replace("`redis.", &format!("`{path}.")),
        };
        problems.into_iter().map(here).collect()
    }
}
