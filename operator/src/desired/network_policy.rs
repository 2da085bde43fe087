//! Who may reach the relay's pods, and whom they may reach.

use k8s_openapi::api::networking::v1::{
    NetworkPolicy, NetworkPolicyEgressRule, NetworkPolicyIngressRule, NetworkPolicyPeer,
    NetworkPolicyPort, NetworkPolicySpec,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use relay_config::{RedisAddress, RedisMode};

use super::redis;
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
            egress: non_empty(&[own(valid), policy.egress.clone()].concat()),
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

/// What the relay opens connections for by itself, and the names of those hosts. A policy knows no
/// host names, so the ports are open to everywhere.
fn own(valid: &Valid) -> Vec<NetworkPolicyEgressRule> {
    let issuers = valid.spec.auth.iter().flat_map(|auth| &auth.jwt);
    let mut ports: Vec<i32> = issuers
        .filter_map(|issuer| issuer.jwks.as_ref())
        .map(|jwks| port_of(&jwks.url))
        .collect();
    let auth = valid.spec.auth.as_ref();
    let forward = auth.and_then(|auth| auth.forward.as_ref());
    ports.extend(forward.map(|forward| port_of(&forward.url)));
    let traces = valid.spec.traces.as_ref();
    ports.extend(traces.map(|traces| port_of(&traces.endpoint)));
    if auth.is_some_and(|auth| auth.service_accounts.is_some()) {
        // some networks look at policies after the Service's address has become the API server's
        ports.extend([443, API_SERVER]);
    }
    let redis = valid.config.redis.as_ref();
    let redis = redis.filter(|_| valid.redis.is_none());
    ports.extend(redis.into_iter().flat_map(redis_ports));
    let sources = valid.config.sources.iter();
    let sources = sources.filter_map(|source| source.redis_stream.as_ref());
    ports.extend(sources.flat_map(|source| redis_ports(&source.redis.settings())));
    ports.sort_unstable();
    ports.dedup();
    let of_its_own = valid.redis.as_ref().map(|_| to_own_redis(valid));
    if ports.is_empty() && of_its_own.is_none() {
        return Vec::new();
    }
    let mut rules = vec![to(53, "UDP"), to(53, "TCP")];
    rules.extend(of_its_own);
    rules.extend(ports.into_iter().map(|port| to(port, "TCP")));
    rules
}

fn to_own_redis(valid: &Valid) -> NetworkPolicyEgressRule {
    NetworkPolicyEgressRule {
        to: Some(vec![NetworkPolicyPeer {
            pod_selector: Some(LabelSelector {
                match_labels: Some(valid.names.redis_selector()),
                ..LabelSelector::default()
            }),
            ..NetworkPolicyPeer::default()
        }]),
        ..to(redis::PORT, "TCP")
    }
}

/// Where primaries listen that Sentinels name, and nodes of a cluster that others name, unless
/// somebody changed it.
const REDIS_PORT: u16 = 6379;

fn redis_ports(redis: &relay_config::Redis) -> Vec<i32> {
    let ports = match redis.target().map(|target| target.mode) {
        Ok(RedisMode::Standalone {
            address: RedisAddress::Tcp(server),
            ..
        }) => vec![server.port],
        Ok(RedisMode::Sentinel {
            sentinels: named, ..
        })
        | Ok(RedisMode::Cluster { seeds: named }) => {
            let named = named.into_iter().map(|server| server.port);
            named.chain([REDIS_PORT]).collect()
        }
        _ => Vec::new(),
    };
    ports.into_iter().map(i32::from).collect()
}

/// Where API servers listen, unless somebody changed it.
const API_SERVER: i32 = 6443;

/// The port of an address of http or https, which the schema has shown to be one.
fn port_of(url: &str) -> i32 {
    let (rest, default) = match url.strip_prefix("http://") {
        Some(rest) => (rest, 80),
        None => (url.trim_start_matches("https://"), 443),
    };
    let authority = rest.split('/').next().unwrap_or_default();
    let port = authority.rsplit_once(':').map(|(_, port)| port);
    port.and_then(|port| port.parse().ok()).unwrap_or(default)
}

fn to(port: i32, protocol: &str) -> NetworkPolicyEgressRule {
    NetworkPolicyEgressRule {
        ports: Some(vec![NetworkPolicyPort {
            port: Some(IntOrString::Int(port)),
            protocol: Some(protocol.to_owned()),
            end_port: None,
        }]),
        to: None,
    }
}

/// Every pod of the cluster, and nothing from outside.
fn any_pod() -> Vec<NetworkPolicyPeer> {
    vec![NetworkPolicyPeer {
        namespace_selector: Some(LabelSelector::default()),
        ..NetworkPolicyPeer::default()
    }]
}
