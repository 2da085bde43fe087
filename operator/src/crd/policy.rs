//! What protects the relay's pods: a disruption budget and a network policy.

use k8s_openapi::api::networking::v1::{NetworkPolicyEgressRule, NetworkPolicyPeer};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How many replicas may be taken away at once on purpose.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DisruptionBudget {
    /// Whether there is a PodDisruptionBudget.
    #[serde(default = "yes")]
    pub enabled: bool,
    /// Replicas that may be away at once.
    #[serde(default = "one")]
    #[schemars(range(min = 1, max = 1000))]
    pub max_unavailable: i32,
}

impl Default for DisruptionBudget {
    fn default() -> Self {
        Self {
            enabled: true,
            max_unavailable: 1,
        }
    }
}

/// Who may reach the relay's pods, and whom they may reach.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct NetworkPolicy {
    /// Whether there is a NetworkPolicy.
    #[serde(default = "yes")]
    pub enabled: bool,
    /// Who may publish and subscribe; everybody who can reach the pods, if it is left out.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    pub from: Vec<NetworkPolicyPeer>,
    /// Who may read metrics and health; every pod of the cluster, if it is left out.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    pub metrics_from: Vec<NetworkPolicyPeer>,
    /// Whom the pods may reach besides what the rest of the resource asks for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    pub egress: Vec<NetworkPolicyEgressRule>,
}

impl Default for NetworkPolicy {
    fn default() -> Self {
        Self {
            enabled: true,
            from: Vec::new(),
            metrics_from: Vec::new(),
            egress: Vec::new(),
        }
    }
}

fn yes() -> bool {
    true
}

fn one() -> i32 {
    1
}
