//! Objects for those who watch the relay.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::text::Span;

/// Objects for those who watch the relay.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Monitoring {
    /// Whether there is a PodMonitor, which tells Prometheus' operator where metrics are.
    #[serde(default)]
    pub pod_monitor: bool,
    /// How often metrics are asked for; as Prometheus does, if it is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interval: Option<Span>,
    /// Whether there is a PrometheusRule with alerts, each with what to do.
    #[serde(default)]
    pub alerts: bool,
    /// Whether there is a ConfigMap with a dashboard for Grafana.
    #[serde(default)]
    pub dashboard: bool,
    /// Labels of these objects, by which Prometheus or Grafana choose them.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 64))]
    pub labels: BTreeMap<String, String>,
}
