//! Where pods go: evenly over zones and nodes, unless the resource says otherwise.

use k8s_openapi::api::core::v1::TopologySpreadConstraint;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;

use crate::crd::PodTemplate;
use crate::validate::Valid;

pub fn spread(valid: &Valid, given: &PodTemplate) -> Vec<TopologySpreadConstraint> {
    if !given.topology_spread_constraints.is_empty() {
        return given.topology_spread_constraints.clone();
    }
    ["topology.kubernetes.io/zone", "kubernetes.io/hostname"]
        .into_iter()
        .map(|key| TopologySpreadConstraint {
            max_skew: 1,
            topology_key: key.to_owned(),
            when_unsatisfiable: "ScheduleAnyway".to_owned(),
            label_selector: Some(LabelSelector {
                match_labels: Some(valid.names.selector()),
                ..LabelSelector::default()
            }),
            // the pods that are being replaced do not count
            match_label_keys: Some(vec!["pod-template-hash".to_owned()]),
            ..TopologySpreadConstraint::default()
        })
        .collect()
}
