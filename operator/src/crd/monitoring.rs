//! Objects for those who watch the relay, and for those who scale it.

use std::collections::BTreeMap;

use kube::KubeSchema;
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

/// Who changes `replicas` with the number of streams: exactly one of `hpa` and `keda`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("has(self.hpa) != has(self.keda)")
        .message("name exactly one of hpa and keda")
)]
pub struct Autoscaling {
    /// A HorizontalPodAutoscaler, for clusters whose metrics API has the metric `sse_relay_streams`
    /// of pods.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hpa: Option<Scaling>,
    /// A ScaledObject of KEDA, which asks the relay's pods itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keda: Option<Scaling>,
}

/// How many replicas for how many streams.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("self.min <= self.max")
        .message("min is above max; write at most max")
        .field_path(".min")
)]
pub struct Scaling {
    /// Least number of replicas.
    #[serde(default = "two")]
    #[schemars(range(min = 1, max = 1000))]
    pub min: i32,
    /// Largest number of replicas.
    #[schemars(range(min = 1, max = 1000))]
    pub max: i32,
    /// Streams of each replica that are aimed at; three quarters of `maxStreams`, if it is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1_000_000))]
    pub per_replica: Option<i32>,
}

fn two() -> i32 {
    2
}
