//! What objects are called and how they are labelled. Nothing else spells a name.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use kube::{Resource, ResourceExt};

use crate::crd::SseRelay;

/// Name of the operator as a field manager, in labels and in Events.
pub const OPERATOR: &str = "sse-relay-operator";
/// `app.kubernetes.io/name` of the relay's objects.
pub const RELAY: &str = "sse-relay";
/// Set to `true` on an SseRelay, the operator leaves its objects alone.
pub const PAUSED: &str = "sserelay.dev/paused";
/// On an SseRelay: another text than before has the password at its own Redis replaced.
pub const ROTATE: &str = "sserelay.dev/rotate-redis-password";
/// The label that tells the relay's objects from those of its own Redis.
pub const COMPONENT: &str = "app.kubernetes.io/component";
/// `app.kubernetes.io/component` of the objects of a relay's own Redis.
pub const REDIS: &str = "redis";
/// What an object was last written as, so that an unchanged one is not written again.
pub const APPLIED: &str = "sserelay.dev/applied";
/// On pods: what of their configuration a running relay cannot take, so that a change replaces them.
pub const CONFIGURATION: &str = "sserelay.dev/configuration";
/// On pods: those that cost least leave first (Kubernetes, `ReplicaSet`).
pub const DELETION_COST: &str = "controller.kubernetes.io/pod-deletion-cost";
/// Port of publishers and subscribers, in pods.
pub const PUBLIC_PORT: i32 = 8080;
/// Port of health and metrics, in pods.
pub const ADMIN_PORT: i32 = 8081;
/// Port of publishers and subscribers, of the Service.
pub const SERVICE_PORT: i32 = 80;
/// The same, if the pods speak TLS.
pub const SERVICE_PORT_TLS: i32 = 443;

/// The names of one relay's objects.
///
/// Each is the relay's own name, with or without an ending. The schema refuses relays whose name
/// has one of these endings, so two relays never want the same name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Names {
    /// The relay's name: its Deployment, Service, ServiceAccount and most others.
    pub relay: String,
    /// Where it lives.
    pub namespace: String,
}

impl Names {
    /// Those of `relay`.
    #[must_use]
    pub fn of(relay: &SseRelay) -> Self {
        Self {
            relay: relay.name_any(),
            namespace: relay.namespace().unwrap_or_else(|| "default".to_owned()),
        }
    }

    /// ConfigMap with the relay's configuration.
    #[must_use]
    pub fn config(&self) -> String {
        format!("{}-config", self.relay)
    }

    /// Headless Service that finds each pod.
    #[must_use]
    pub fn pods(&self) -> String {
        format!("{}-pods", self.relay)
    }

    /// Secret with generated tokens.
    #[must_use]
    pub fn tokens(&self) -> String {
        format!("{}-tokens", self.relay)
    }

    /// Everything of the relay's own Redis but its users.
    #[must_use]
    pub fn redis(&self) -> String {
        format!("{}-redis", self.relay)
    }

    /// ConfigMap with the dashboard.
    #[must_use]
    pub fn dashboard(&self) -> String {
        format!("{}-dashboard", self.relay)
    }

    /// Secret with the users of the relay's own Redis.
    #[must_use]
    pub fn users(&self) -> String {
        format!("{}-users", self.relay)
    }

    /// Secret with the token by which the operator proves that streams stream.
    #[must_use]
    pub fn probe(&self) -> String {
        format!("{}-probe", self.relay)
    }

    /// The labels that select the pod of the relay's own Redis; they never change.
    #[must_use]
    pub fn redis_selector(&self) -> BTreeMap<String, String> {
        let mut labels = self.selector();
        labels.insert("app.kubernetes.io/component".to_owned(), REDIS.to_owned());
        labels
    }

    /// The labels of every object of the relay's own Redis.
    #[must_use]
    pub fn redis_labels(&self) -> BTreeMap<String, String> {
        let mut labels = self.labels();
        labels.extend(self.redis_selector());
        labels
    }

    /// Metadata of an object of the relay's own Redis.
    #[must_use]
    pub fn redis_meta(&self, name: &str) -> ObjectMeta {
        ObjectMeta {
            labels: Some(self.redis_labels()),
            ..self.meta(name)
        }
    }

    /// The labels that select the relay's pods; they never change.
    #[must_use]
    pub fn selector(&self) -> BTreeMap<String, String> {
        BTreeMap::from([
            ("app.kubernetes.io/name".to_owned(), RELAY.to_owned()),
            ("app.kubernetes.io/instance".to_owned(), self.relay.clone()),
            ("app.kubernetes.io/component".to_owned(), "relay".to_owned()),
        ])
    }

    /// The same as the text that the scale subresource and the API take.
    #[must_use]
    pub fn selector_text(&self) -> String {
        let pairs: Vec<String> = self
            .selector()
            .into_iter()
            .map(|(key, value)| format!("{key}={value}"))
            .collect();
        pairs.join(",")
    }

    /// The text that selects every object of the relay that the operator made.
    #[must_use]
    pub fn owned_text(&self) -> String {
        format!(
            "app.kubernetes.io/instance={},app.kubernetes.io/managed-by={OPERATOR}",
            self.relay
        )
    }

    /// The labels of every object of the relay. Objects that must not change with the version
    /// (an Ingress: some controllers cut every stream on any change) leave it out.
    #[must_use]
    pub fn labels(&self) -> BTreeMap<String, String> {
        let mut labels = self.selector();
        labels.extend([
            (
                "app.kubernetes.io/managed-by".to_owned(),
                OPERATOR.to_owned(),
            ),
            ("app.kubernetes.io/part-of".to_owned(), RELAY.to_owned()),
        ]);
        labels
    }

    /// Metadata of an object of this name.
    #[must_use]
    pub fn meta(&self, name: &str) -> ObjectMeta {
        ObjectMeta {
            name: Some(name.to_owned()),
            namespace: Some(self.namespace.clone()),
            labels: Some(self.labels()),
            ..ObjectMeta::default()
        }
    }
}

/// What makes garbage collection remove an object with its relay; `None` for a relay that was
/// never stored, as `render` has it.
#[must_use]
pub fn owner(relay: &SseRelay) -> Option<OwnerReference> {
    relay.controller_owner_ref(&())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crd::SseRelaySpec;

    #[test]
    fn no_relay_can_be_called_like_an_object_of_another() {
        let names = Names::of(&SseRelay::new("live", SseRelaySpec::default()));
        let rule = crate::crd::yaml();
        assert!(rule.contains("-(config|pods|tokens|redis|users|dashboard|probe)$"));
        let all = [
            names.config(),
            names.pods(),
            names.tokens(),
            names.redis(),
            names.users(),
            names.dashboard(),
            names.probe(),
        ];
        for name in all {
            let ending = name.strip_prefix("live-").unwrap();
            let endings = [
                "config",
                "pods",
                "tokens",
                "redis",
                "users",
                "dashboard",
                "probe",
            ];
            assert!(endings.contains(&ending), "{name}");
        }
    }
}
