//! What the event log keeps, for how long, and what it accepts.

use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize, Serializer};

use crate::byte_size::ByteSize;
use crate::timespan::Timespan;

/// Where the event log is kept between starts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Data {
    /// Directory for the event log. Without it the log lives in memory only and is empty after a
    /// restart.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "as_text")]
    #[schemars(example = "/var/lib/sse-relay")]
    pub dir: Option<PathBuf>,
    /// When written events are forced to the disk.
    pub fsync: Fsync,
    /// Time between two forced writes with `fsync: interval`: the most that a power failure
    /// takes.
    pub fsync_interval: Timespan,
    /// The file is rewritten when it is larger than this and more than half of it is dead.
    pub compact_at: ByteSize,
}

impl Default for Data {
    fn default() -> Self {
        Self {
            dir: None,
            fsync: Fsync::Interval,
            fsync_interval: Timespan::from_secs(1),
            compact_at: ByteSize::from_mib(64),
        }
    }
}

/// A path that is not UTF-8 can be made only by a program, and validation refuses it.
fn as_text<S: Serializer>(dir: &Option<PathBuf>, serializer: S) -> Result<S::Ok, S::Error> {
    let text = dir.as_deref().map(Path::to_string_lossy);
    text.serialize(serializer)
}

/// When written events are forced to the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Fsync {
    /// Before each publish is acknowledged.
    Always,
    /// Every `fsyncInterval`.
    Interval,
    /// When the operating system does so.
    Never,
}

/// How much of each channel the event log keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Retention {
    /// Number of events of one channel.
    pub events: u64,
    /// Age of an event.
    pub age: Timespan,
    /// Bytes of one channel's events.
    pub bytes: ByteSize,
}

impl Default for Retention {
    fn default() -> Self {
        Self {
            events: 10_000,
            age: Timespan::from_secs(3_600),
            bytes: ByteSize::from_mib(64),
        }
    }
}

/// What one event may contain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct EventLimits {
    /// Bytes of one event's data and attributes together.
    pub max_bytes: ByteSize,
    /// Number of one event's attributes.
    pub max_attributes: usize,
}

impl Default for EventLimits {
    fn default() -> Self {
        Self {
            max_bytes: ByteSize::from_mib(1),
            max_attributes: 64,
        }
    }
}

/// How long repeated publishes with the same `Idempotency-Key` are recognised.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Idempotency {
    /// Time for which a key is remembered.
    pub window: Timespan,
    /// Number of keys that are remembered; past it the oldest are forgotten.
    pub max_keys: u64,
}

impl Default for Idempotency {
    fn default() -> Self {
        Self {
            window: Timespan::from_secs(300),
            max_keys: 100_000,
        }
    }
}
