//! Spans of publishes and deliveries, for OpenTelemetry.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::auth::SecretKey;
use super::server::Authorities;

/// Spans of publishes and deliveries, sent by OTLP over HTTP (protobuf).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Traces {
    /// Where spans are sent: the whole address, with its path, as in
    /// `http://collector.observability:4318/v1/traces`. The network policy lets the pods reach its port,
    /// anywhere.
    #[schemars(length(max = 500), regex(pattern = "^https?://[^/?#@ ]+(/[^ ]*)?$"))]
    pub endpoint: String,
    /// Headers for the collector, one `name: value` on each line.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub headers: Option<SecretKey>,
    /// Certificate authorities that are trusted for the address, instead of the image's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca: Option<Authorities>,
    /// Fraction of the publishes that are traced whose publisher does not say it, from 0 to 1; all, if
    /// it is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0.0, max = 1.0))]
    pub sample_ratio: Option<f64>,
    /// Spans that may wait for the collector; 4096, if it is left out. Past it they are dropped, and
    /// counted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1_000_000))]
    pub max_queue: Option<i32>,
}
