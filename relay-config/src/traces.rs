//! Traces: the way of an event from its publisher to streams, as OpenTelemetry tells it.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Spans of publishes and deliveries, sent by OTLP over HTTP (protobuf). With this section, an empty
/// one too, they are on. What is left out is taken from the variables that OpenTelemetry defines
/// (`OTEL_EXPORTER_OTLP_ENDPOINT`, `OTEL_EXPORTER_OTLP_HEADERS`, `OTEL_SERVICE_NAME`,
/// `OTEL_RESOURCE_ATTRIBUTES`, `OTEL_TRACES_SAMPLER`); `OTEL_SDK_DISABLED=true` turns them off.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Traces {
    /// Where spans are sent: the whole address, with its path.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(example = &"http://collector:4318/v1/traces")]
    pub endpoint: Option<String>,
    /// File with headers for the collector, one `name: value` on each line. It usually has a secret.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub headers_file: Option<PathBuf>,
    /// File with the certificate authorities (PEM) that are trusted for the address, instead of the
    /// system's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ca_file: Option<PathBuf>,
    /// Fraction of the publishes that are traced whose publisher does not say it, from 0 to 1. A
    /// publisher that sends `traceparent` decides for its own events.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sample_ratio: Option<f64>,
    /// Spans that may wait for the collector. Past it they are dropped, and counted.
    pub max_queue: usize,
}

impl Default for Traces {
    fn default() -> Self {
        Self {
            endpoint: None,
            headers_file: None,
            ca_file: None,
            sample_ratio: None,
            max_queue: 4_096,
        }
    }
}
