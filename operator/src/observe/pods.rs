//! The pods of all relays and of their own Redises, in one list.

use std::collections::HashMap;
use std::net::IpAddr;

use k8s_openapi::api::core::v1::Pod;
use kube::api::ListParams;
use kube::{Api, Client, ResourceExt};

use crate::crd::SseRelay;
use crate::names::{COMPONENT, DELETION_COST, OPERATOR, REDIS, RELAY};
use crate::status::{PodTrouble, trouble};

/// Pods that come with one answer.
const PAGE: u32 = 500;
/// More than these are not looked at.
const PAGES: usize = 40;

/// The pods of relays, by namespace and name of the relay.
#[derive(Default)]
pub struct Pods(HashMap<(String, String), OfRelay>);

/// The pods of one relay.
#[derive(Default)]
struct OfRelay {
    replicas: Vec<Pod>,
    redis: Vec<Pod>,
}

/// The pods of one relay.
pub struct Own<'a> {
    replicas: &'a [Pod],
    redis: &'a [Pod],
}

/// All pods of relays in `namespace`, or anywhere.
pub async fn list(client: &Client, namespace: Option<&str>) -> Result<Pods, kube::Error> {
    let api: Api<Pod> = match namespace {
        Some(namespace) => Api::namespaced(client.clone(), namespace),
        None => Api::all(client.clone()),
    };
    let mut params = ListParams::default()
        .labels(&format!(
            "app.kubernetes.io/managed-by={OPERATOR},app.kubernetes.io/name={RELAY},app.kubernetes.io/component in (relay,{REDIS})"
        ))
        .limit(PAGE);
    let mut pods = Pods::default();
    for _ in 0..PAGES {
        let page = api.list(&params).await?;
        params.continue_token = page.metadata.continue_.filter(|token| !token.is_empty());
        for pod in page.items {
            let labels = pod.labels();
            let relay = labels.get("app.kubernetes.io/instance").cloned();
            let namespace = pod.namespace().unwrap_or_default();
            let redis = labels.get(COMPONENT).is_some_and(|of| of == REDIS);
            let key = (namespace, relay.unwrap_or_default());
            let of_relay = pods.0.entry(key).or_default();
            match redis {
                true => of_relay.redis.push(pod),
                false => of_relay.replicas.push(pod),
            }
        }
        if params.continue_token.is_none() {
            break;
        }
    }
    Ok(pods)
}

impl Pods {
    /// Those of `relay`.
    pub fn of(&self, relay: &SseRelay) -> Own<'_> {
        let key = (relay.namespace().unwrap_or_default(), relay.name_any());
        let (replicas, redis) = match self.0.get(&key) {
            Some(OfRelay { replicas, redis }) => (replicas.as_slice(), redis.as_slice()),
            None => (&[][..], &[][..]),
        };
        Own { replicas, redis }
    }
}

impl Own<'_> {
    /// Names and addresses of those that take streams.
    pub fn serving(&self) -> impl Iterator<Item = (String, IpAddr)> {
        self.replicas.iter().filter_map(|pod| {
            let status = pod.status.as_ref()?;
            let mut conditions = status.conditions.iter().flatten();
            let ready = conditions.any(|held| held.type_ == "Ready" && held.status == "True");
            let leaving = pod.metadata.deletion_timestamp.is_some();
            let address = status.pod_ip.as_ref()?.parse().ok()?;
            (ready && !leaving).then(|| (pod.name_any(), address))
        })
    }

    /// How many there are, those included that start or leave.
    pub fn count(&self) -> usize {
        let over = |pod: &Pod| {
            let phase = pod
                .status
                .as_ref()
                .and_then(|status| status.phase.as_deref());
            matches!(phase, Some("Succeeded" | "Failed"))
        };
        self.replicas.iter().filter(|pod| !over(pod)).count()
    }

    /// What the pod of this name costs to delete, as it says.
    pub fn cost(&self, name: &str) -> Option<&str> {
        let pod = self.replicas.iter().find(|pod| pod.name_any() == name)?;
        pod.annotations().get(DELETION_COST).map(String::as_str)
    }

    /// Why one of them cannot start.
    pub fn trouble(&self) -> Option<PodTrouble> {
        self.replicas.iter().find_map(trouble)
    }

    /// Whether there is no pod of a Redis of its own.
    pub fn no_redis(&self) -> bool {
        self.redis.is_empty()
    }

    /// Why the pod of its own Redis cannot start.
    pub fn redis_trouble(&self) -> Option<PodTrouble> {
        self.redis.iter().find_map(trouble)
    }
}
