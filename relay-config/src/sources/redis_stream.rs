//! Redis Streams as a source.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::SourceRedis;
use crate::timespan::Timespan;
use crate::validate::Problem;

/// The most streams of a source.
const MAX_STREAMS: usize = 64;
/// The longest name of a stream, a group or a field, in bytes.
const MAX_BYTES: usize = 512;
const MIN_IDLE: Timespan = Timespan::from_secs(1);
const MAX_IDLE: Timespan = Timespan::from_secs(3_600);

/// Redis Streams, read as one consumer of a group. The group is made if it is not there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RedisStreamSource {
    /// Where the streams are.
    pub redis: SourceRedis,
    /// The streams' keys. In a Cluster they must be in one slot: `{orders}:eu`, `{orders}:us`.
    pub streams: Vec<String>,
    /// The consumer group. Relays that do not share a log need groups of their own.
    #[serde(default = "group")]
    pub group: String,
    /// Where a group that is made begins.
    #[serde(default)]
    pub begin: Begin,
    /// The field of an entry that is the message. Without it the message is a JSON object of all
    /// fields. Each field is an attribute of the message besides.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(example = &"payload")]
    pub field: Option<String>,
    /// Entries that another consumer of the group has not acknowledged for so long are taken over.
    /// Those of other replicas of this relay are, as soon as one has taken over from another.
    #[serde(default = "claim_after")]
    pub claim_after: Timespan,
}

/// Where a group begins.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Begin {
    /// With what is appended from then on.
    #[default]
    New,
    /// With the oldest entry that there is.
    Oldest,
}

fn group() -> String {
    "sse-relay".to_owned()
}

fn claim_after() -> Timespan {
    Timespan::from_secs(60)
}

impl RedisStreamSource {
    pub(super) fn problems(&self, path: &str) -> Vec<Problem> {
        let mut problems = self.redis.problems(&format!("{path}.redis"));
        let mut wrong = |field: &str, message: &str| {
            problems.push(Problem {
                path: format!("{path}.{field}"),
                message: message.to_owned(),
            });
        };
        let legal = |text: &str| (1..=MAX_BYTES).contains(&text.len());
        if !(1..=MAX_STREAMS).contains(&self.streams.len()) {
            wrong("streams", "name 1 to 64 streams");
        }
        for (index, stream) in self.streams.iter().enumerate() {
            let field = format!("streams[{index}]");
            if !legal(stream) {
                wrong(&field, "write 1 to 512 bytes");
            }
            if self.streams[..index].contains(stream) {
                wrong(&field, "is there twice; name each stream once");
            }
        }
        if !legal(&self.group) {
            wrong("group", "write 1 to 512 bytes");
        }
        if self.field.as_deref().is_some_and(|field| !legal(field)) {
            wrong("field", "write 1 to 512 bytes");
        }
        if !(MIN_IDLE..=MAX_IDLE).contains(&self.claim_after) {
            wrong("claimAfter", "write a time from 1s to 1h");
        }
        problems
    }
}
