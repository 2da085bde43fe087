//! Who may reach the relay's pods, and whom they may reach.

mod egress;

use k8s_openapi::api::networking::v1::{
    NetworkPolicy, NetworkPolicyIngressRule, NetworkPolicyPeer, NetworkPolicyPort,
    NetworkPolicySpec,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::service::{ADMIN, HTTP};
use crate::validate::Valid;

pub fn build(valid: &Valid) -> Option<NetworkPolicy> {
    let policy = &valid.spec.network_policy;
    policy.enabled.then(|| NetworkPolicy {
        metadata: valid.names.meta(&valid.names.relay),
        spec: Some(NetworkPolicySpec {
            pod_selector: Some(LabelSelector {
                match_labels: Some(valid.names.selector()),
                ..LabelSelector::default()
            }),
            policy_types: Some(vec!["Ingress".to_owned(), "Egress".to_owned()]),
            ingress: Some(vec![
                rule(HTTP, non_empty(&policy.from)),
                rule(
                    ADMIN,
                    Some(non_empty(&policy.metrics_from).unwrap_or_else(any_pod)),
                ),
            ]),
            // without rules it reaches nobody
            egress: non_empty(&[egress::rules(valid), policy.egress.clone()].concat()),
        }),
    })
}

fn rule(port: &str, from: Option<Vec<NetworkPolicyPeer>>) -> NetworkPolicyIngressRule {
    NetworkPolicyIngressRule {
        from,
        ports: Some(vec![NetworkPolicyPort {
            port: Some(IntOrString::String(port.to_owned())),
            protocol: Some("TCP".to_owned()),
            end_port: None,
        }]),
    }
}

fn non_empty<T: Clone>(items: &[T]) -> Option<Vec<T>> {
    (!items.is_empty()).then(|| items.to_vec())
}

/// Every pod of the cluster, and nothing from outside.
fn any_pod() -> Vec<NetworkPolicyPeer> {
    vec![NetworkPolicyPeer {
        namespace_selector: Some(LabelSelector::default()),
        ..NetworkPolicyPeer::default()
    }]
}
