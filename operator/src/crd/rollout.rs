//! How replicas are replaced, and how their streams leave them.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::text::Span;

/// How replicas are replaced, and how their streams leave them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("duration(self.drainWindow) + duration(self.propagation) <= duration('600s')")
        .message("together with propagation at most 600s: nodes wait no longer for a pod that they are emptied of")
        .field_path(".drainWindow")
)]
pub struct Rollout {
    /// Time over which a leaving replica closes its streams, spread evenly so that they do not
    /// all come back at once. Termination grace, deadlines and the drain times of load balancers
    /// follow from it.
    #[serde(default = "drain_window")]
    pub drain_window: Span,
    /// Time in which a leaving replica still serves everything while proxies learn that it
    /// leaves.
    #[serde(default = "propagation")]
    pub propagation: Span,
    /// How replicas are replaced.
    #[serde(default)]
    pub strategy: Strategy,
}

/// How replicas are replaced.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Strategy {
    /// All new replicas first, then the old ones leave: each client moves once.
    #[default]
    Surge,
    /// A quarter at a time: needs less room, and clients may move more than once.
    Rolling,
}

impl Default for Rollout {
    fn default() -> Self {
        Self {
            drain_window: drain_window(),
            propagation: propagation(),
            strategy: Strategy::Surge,
        }
    }
}

fn drain_window() -> Span {
    Span("60s".to_owned())
}

fn propagation() -> Span {
    Span("10s".to_owned())
}
