//! What the log keeps, and rules for channels.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::text::{Bytes, Span};

/// How much of each channel the log keeps: whatever bound is reached first.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Retention {
    /// Number of events of one channel; 10000, if it is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub events: Option<i64>,
    /// Age of an event; 1h, if it is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub age: Option<Span>,
    /// Bytes of one channel's events; 64Mi, if it is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes: Option<Bytes>,
}

/// What holds for the channels that a pattern matches, where it differs from the rest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("has(self.retention) || has(self.overflow) || has(self.maxEventBytes) || has(self.publish) || has(self.subscribe)")
        .message("sets nothing; say what holds for these channels, or remove the rule"),
    validation = Rule::new("(has(self.overflow) && self.overflow == 'coalesce') == has(self.coalesceBy)")
        .message("overflow: coalesce needs coalesceBy, the attribute whose last value is kept; without it coalesceBy means nothing")
)]
pub struct Channel {
    /// The channels meant: dot-separated segments, of which `*` is any one and a final `**` any
    /// one or more.
    #[schemars(length(min = 1, max = 200))]
    pub r#match: String,
    /// How much of each of these channels the log keeps.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retention: Option<RetentionOverride>,
    /// What happens when a client reads these channels too slowly.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub overflow: Option<Overflow>,
    /// With `overflow: coalesce`, the attribute whose last value is kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 100))]
    pub coalesce_by: Option<String>,
    /// Bytes of one event's data and attributes together.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_event_bytes: Option<Bytes>,
    /// Whether anybody at all may publish to these channels.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub publish: Option<Access>,
    /// Whether anybody at all may subscribe to these channels.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subscribe: Option<Access>,
}

/// The bounds of retention that differ for these channels.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RetentionOverride {
    /// Number of events of one channel.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub events: Option<i64>,
    /// Age of an event.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub age: Option<Span>,
    /// Bytes of one channel's events.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes: Option<Bytes>,
}

/// What happens when a client reads too slowly.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Overflow {
    /// Its stream is closed; it comes back and resumes from the log.
    Disconnect,
    /// The oldest waiting events are dropped, and a `gap` event says so.
    DropOldest,
    /// What comes while too much waits is dropped, and a `gap` event says so.
    DropNewest,
    /// It stays open, and reads from the log what it could not take yet.
    CatchUp,
    /// Of waiting events with the same value of `coalesceBy` only the last is kept.
    Coalesce,
}

/// Whether something is allowed at all; credentials may allow less, never more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Access {
    /// To everybody whose credentials allow it.
    Allow,
    /// To nobody.
    Deny,
}
