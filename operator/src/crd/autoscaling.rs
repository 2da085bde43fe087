//! Who changes the number of replicas, and by what.

use kube::KubeSchema;
use serde::{Deserialize, Serialize};

use super::text::{Bytes, Span};

/// Who changes the number of replicas: exactly one of `streams`, `keda` and `hpa`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("[has(self.streams), has(self.keda), has(self.hpa)].filter(there, there).size() == 1")
        .message("name exactly one of streams, keda and hpa")
)]
pub struct Autoscaling {
    /// The operator itself, which asks the relay's pods. `replicas` then says only whether the relay
    /// runs at all, and how many there are at first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub streams: Option<StreamScaling>,
    /// A HorizontalPodAutoscaler, for clusters whose metrics API has the metric `sse_relay_streams`
    /// of pods.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hpa: Option<Scaling>,
    /// A ScaledObject of KEDA, which asks the relay's pods itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keda: Option<Scaling>,
}

/// How many replicas the operator lets there be. It adds them at once, and takes one after the other
/// away when they were not needed for a while.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("self.min <= self.max")
        .message("min is above max; write at most max")
        .field_path(".min"),
    validation = Rule::new("!has(self.perReplica) || !has(self.headroom)")
        .message("perReplica says what headroom would follow from; remove one of the two")
        .field_path(".headroom"),
    validation = Rule::new("duration(self.scaleDownAfter) <= duration('1h')")
        .message("write at most 1h")
        .field_path(".scaleDownAfter")
)]
pub struct StreamScaling {
    /// Least number of replicas.
    #[serde(default = "two")]
    #[schemars(range(min = 1, max = 1000))]
    pub min: i32,
    /// Largest number of replicas.
    #[schemars(range(min = 1, max = 1000))]
    pub max: i32,
    /// Streams of each replica that are aimed at; `maxStreams` less `headroom`, if it is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1_000_000))]
    pub per_replica: Option<i32>,
    /// Percent of `maxStreams` that are kept free, for streams that come while a replica starts and
    /// for those of a replica that is lost; 25, if it is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 90))]
    pub headroom: Option<i32>,
    /// Bytes that each replica hands to its streams in a second, as is aimed at besides; any number,
    /// if it is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub egress_per_replica: Option<Bytes>,
    /// A replica leaves when for so long fewer were enough: each that leaves moves people. The next
    /// one leaves at the earliest a tenth of it later.
    #[serde(default = "ten_minutes")]
    pub scale_down_after: Span,
    /// Whether the replica with the fewest streams leaves first. The operator tells Kubernetes by
    /// the annotation `controller.kubernetes.io/pod-deletion-cost` of the pods.
    #[serde(default = "yes")]
    pub emptiest_first: bool,
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

fn ten_minutes() -> Span {
    Span("10m".to_owned())
}

fn yes() -> bool {
    true
}
