//! The process itself: what it writes, how it leaves, how it shows what it can do.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::timespan::Timespan;

/// What the process writes about itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Logging {
    /// Whether lines are for people or for programs.
    pub format: LogFormat,
    /// Least severity that is written (`error`, `warn`, `info`, `debug`, `trace`), also per
    /// module as in `info,sse_relay::http=debug`; `off` for nothing. `SSE_RELAY_LOG` wins over it.
    pub level: String,
}

impl Default for Logging {
    fn default() -> Self {
        Self {
            format: LogFormat::Text,
            level: "info".to_owned(),
        }
    }
}

/// Whether log lines are for people or for programs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object per line.
    Json,
}

/// How the process leaves: its streams move to other replicas before it exits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Drain {
    /// Time in which everything is still served while others learn that this replica leaves.
    pub propagation: Timespan,
    /// Time over which the open streams are closed, spread evenly.
    pub window: Timespan,
    /// Time for draining in all, after which the process exits.
    pub timeout: Timespan,
}

impl Default for Drain {
    fn default() -> Self {
        Self {
            propagation: Timespan::from_secs(5),
            window: Timespan::from_secs(20),
            timeout: Timespan::from_secs(30),
        }
    }
}

/// Events made up by the relay itself, to try it out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Demo {
    /// Whether events are made up.
    pub enabled: bool,
    /// Time between two of them.
    pub interval: Timespan,
    /// First segments of the names of the channels that they go to.
    pub prefix: String,
}

impl Default for Demo {
    fn default() -> Self {
        Self {
            enabled: false,
            interval: Timespan::from_secs(1),
            prefix: "demo".to_owned(),
        }
    }
}
