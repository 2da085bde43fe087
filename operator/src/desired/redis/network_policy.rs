//! Who may reach the relay's own Redis: the relay's pods. It reaches nobody itself.

use k8s_openapi::api::networking::v1::{
    NetworkPolicy, NetworkPolicyIngressRule, NetworkPolicyPeer, NetworkPolicyPort,
    NetworkPolicySpec,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::service::REDIS;
use crate::validate::Valid;

pub fn build(valid: &Valid) -> Option<NetworkPolicy> {
    let labels = |labels| LabelSelector {
        match_labels: Some(labels),
        ..LabelSelector::default()
    };
    let names = &valid.names;
    valid.spec.network_policy.enabled.then(|| NetworkPolicy {
        metadata: names.redis_meta(&names.redis()),
        spec: Some(NetworkPolicySpec {
            pod_selector: Some(labels(names.redis_selector())),
            policy_types: Some(vec!["Ingress".to_owned(), "Egress".to_owned()]),
            ingress: Some(vec![NetworkPolicyIngressRule {
                from: Some(vec![NetworkPolicyPeer {
                    pod_selector: Some(labels(names.selector())),
                    ..NetworkPolicyPeer::default()
                }]),
                ports: Some(vec![NetworkPolicyPort {
                    port: Some(IntOrString::String(REDIS.to_owned())),
                    protocol: Some("TCP".to_owned()),
                    end_port: None,
                }]),
            }]),
            egress: None,
        }),
    })
}
