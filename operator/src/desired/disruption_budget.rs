//! How many pods may be away at once on purpose.

use k8s_openapi::api::policy::v1::{PodDisruptionBudget, PodDisruptionBudgetSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use crate::validate::Valid;

pub fn build(valid: &Valid) -> Option<PodDisruptionBudget> {
    let budget = &valid.spec.disruption_budget;
    budget.enabled.then(|| PodDisruptionBudget {
        metadata: valid.names.meta(&valid.names.relay),
        spec: Some(PodDisruptionBudgetSpec {
            max_unavailable: Some(IntOrString::Int(budget.max_unavailable)),
            selector: Some(LabelSelector {
                match_labels: Some(valid.names.selector()),
                ..LabelSelector::default()
            }),
            // a pod that is not ready serves nobody: it must not keep its node from being emptied
            unhealthy_pod_eviction_policy: Some("AlwaysAllow".to_owned()),
            ..PodDisruptionBudgetSpec::default()
        }),
        ..PodDisruptionBudget::default()
    })
}
