//! Redis Pub/Sub as a source.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{SourceRedis, on_demand};
use crate::validate::Problem;

/// The most channels or patterns of a source.
const MAX_NAMES: usize = 1_000;
/// The longest name of a channel or pattern, in bytes.
const MAX_BYTES: usize = 512;

/// Redis Pub/Sub: at least one channel, pattern or demand. What is published while nobody listens is
/// lost.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RedisPubSubSource {
    /// Where messages are published. Database numbers mean nothing there.
    pub redis: SourceRedis,
    /// Channels of Redis that are always listened to.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub channels: Vec<String>,
    /// The same for patterns, as Redis has them: `news.*`, `h[ae]llo`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub patterns: Vec<String>,
    /// Channels of the relay, as patterns of the relay, that are listened to in Redis under the same
    /// names as long as streams want them. A stream begins once its channels are listened to. The
    /// mapping must leave the channel as it is.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub on_demand: Vec<String>,
}

impl RedisPubSubSource {
    pub(super) fn problems(&self, path: &str) -> Vec<Problem> {
        let mut problems = self.redis.problems(&format!("{path}.redis"));
        let mut wrong = |field: String, message: &str| {
            problems.push(Problem {
                path: format!("{path}{field}"),
                message: message.to_owned(),
            });
        };
        let lists = [("channels", &self.channels), ("patterns", &self.patterns)];
        let nothing = lists.iter().all(|(_, names)| names.is_empty());
        if nothing && self.on_demand.is_empty() {
            wrong(
                String::new(),
                "listens to nothing; name `channels` or `patterns`, or set `onDemand: [\"**\"]`",
            );
        }
        for (list, names) in lists {
            if names.len() > MAX_NAMES {
                wrong(
                    format!(".{list}"),
                    "has more than 1000 entries; use patterns",
                );
            }
            for (index, name) in names.iter().enumerate() {
                let field = format!(".{list}[{index}]");
                if !(1..=MAX_BYTES).contains(&name.len()) {
                    wrong(field, "write 1 to 512 bytes");
                } else if names[..index].contains(name) {
                    wrong(field, "is there twice; name each once");
                }
            }
        }
        problems.extend(on_demand::problems(
            &format!("{path}.onDemand"),
            &self.on_demand,
        ));
        problems
    }
}
