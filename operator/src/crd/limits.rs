//! How much askers may do at once and in a second.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::text::Bytes;

/// Bounds of one kind of asker, on each replica. What is left out has no bound.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Limit {
    /// Streams that are open at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1_000_000))]
    pub streams: Option<i32>,
    /// Streams opened in a second.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1_000_000))]
    pub opens_per_second: Option<i32>,
    /// Events published in a second.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1_000_000))]
    pub publishes_per_second: Option<i32>,
    /// Bytes of bodies published in a second.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub publish_bytes_per_second: Option<Bytes>,
}

/// Bounds for all whose credential has the same value of an attribute: a team, a customer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AttributeLimit {
    /// The attribute, as `claims.attributes` of an issuer names it.
    #[schemars(length(min = 1, max = 100))]
    pub attribute: String,
    /// Streams that are open at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1_000_000))]
    pub streams: Option<i32>,
    /// Streams opened in a second.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1_000_000))]
    pub opens_per_second: Option<i32>,
    /// Events published in a second.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1_000_000))]
    pub publishes_per_second: Option<i32>,
    /// Bytes of bodies published in a second.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub publish_bytes_per_second: Option<Bytes>,
}
