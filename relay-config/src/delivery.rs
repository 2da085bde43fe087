//! What subscribers get: heartbeats, and streams with their bounds.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::byte_size::ByteSize;
use crate::timespan::Timespan;

/// The sign of life on quiet streams.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Heartbeat {
    /// Time between two heartbeats; shorter than the idle timeout of every proxy on the way.
    pub interval: Timespan,
    /// What a heartbeat is on the wire.
    pub r#as: HeartbeatAs,
}

impl Default for Heartbeat {
    fn default() -> Self {
        Self {
            interval: Timespan::from_secs(15),
            r#as: HeartbeatAs::Comment,
        }
    }
}

/// What a heartbeat is on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum HeartbeatAs {
    /// A comment, which programs do not see.
    Comment,
    /// An event named `heartbeat`, so that programs can notice its absence.
    Event,
}

/// What one stream may ask for and how much of it may wait.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Stream {
    /// Time after which clients are told to reconnect (`retry:`).
    pub retry: Timespan,
    /// Largest fraction of `retry` that is added to it at random, so that not all clients return
    /// at once.
    pub retry_jitter: f64,
    /// Whether a stream begins with an event named `connected`.
    pub connected_event: bool,
    /// Bytes that may wait for one stream; past it, `overflow` says what happens.
    pub max_queue_bytes: ByteSize,
    /// Bytes that may wait for all streams of the process together; past it the furthest behind
    /// gives way first.
    pub max_memory: ByteSize,
    /// What happens to a stream whose client reads too slowly. For `coalesce`, use a rule under
    /// `channels`, which says by what.
    pub overflow: Overflow,
    /// Number of channels and patterns of one stream.
    pub max_channels: usize,
    /// Number of values in the filters of one stream.
    pub max_filter_values: usize,
    /// Time in which a stream's connection must take something of what waits for it; one that takes
    /// nothing is closed.
    pub write_timeout: Timespan,
    /// The longest life of a stream. It ends in the last tenth of it, and its client resumes: the
    /// only sign of a client that is gone behind a proxy that goes on reading.
    pub max_age: Timespan,
    /// Number of connections of the process, whatever they are for; never more than the files that it
    /// may open leave, which is the bound by default. One in sixteen is kept for what is no stream,
    /// so that publishers find room.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_connections: Option<usize>,
}

impl Default for Stream {
    fn default() -> Self {
        Self {
            retry: Timespan::from_secs(3),
            retry_jitter: 0.5,
            connected_event: false,
            max_queue_bytes: ByteSize::from_mib(1),
            max_memory: ByteSize::from_mib(256),
            overflow: Overflow::Disconnect,
            max_channels: 100,
            max_filter_values: 100,
            write_timeout: Timespan::from_secs(60),
            max_age: Timespan::from_secs(3_600),
            max_connections: None,
        }
    }
}

/// What happens to a stream whose client reads too slowly.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Overflow {
    /// It is closed; the client comes back and resumes from the log, so nothing is lost.
    Disconnect,
    /// The oldest waiting events are dropped and a `gap` event says so.
    DropOldest,
    /// What comes while too much waits is dropped, and a `gap` event behind what waited says so.
    DropNewest,
    /// It stays open. What it could not take yet is read from the log again once it has room; only
    /// what the log has no more by then is lost, and a `gap` event says so.
    CatchUp,
    /// Of waiting events with the same value of the attribute `coalesceBy` only the last is kept.
    Coalesce,
}
