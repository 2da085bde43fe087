//! The relays that there are, as the watches know them.

use std::collections::{BTreeMap, HashSet};

use kube::ResourceExt;
use kube::core::DeserializeGuard;
use kube::runtime::reflector::{ObjectRef, Store};
use parking_lot::RwLock;

use super::life::Life;
use crate::crd::{ConditionStatus, ConditionType, KeyKind, SseRelay};
use crate::names::Names;
use crate::references::references;

/// A relay as it is watched: one that cannot be read does not stop the watch on the others.
pub type Watched = DeserializeGuard<SseRelay>;

/// The relays that there are.
#[derive(Default)]
pub struct Relays {
    stores: RwLock<Vec<Store<Watched>>>,
}

const CONDITIONS: [(ConditionType, &str); 11] = [
    (ConditionType::Ready, "Ready"),
    (ConditionType::Progressing, "Progressing"),
    (ConditionType::RedisReady, "RedisReady"),
    (ConditionType::RedisHighlyAvailable, "RedisHighlyAvailable"),
    (ConditionType::VolumeReady, "VolumeReady"),
    (ConditionType::AutoscalingReady, "AutoscalingReady"),
    (ConditionType::RouteReady, "RouteReady"),
    (ConditionType::StreamingVerified, "StreamingVerified"),
    (ConditionType::AddOnsReady, "AddOnsReady"),
    (ConditionType::Reconciling, "Reconciling"),
    (ConditionType::Stalled, "Stalled"),
];

const STATUSES: [(ConditionStatus, &str); 3] = [
    (ConditionStatus::True, "True"),
    (ConditionStatus::False, "False"),
    (ConditionStatus::Unknown, "Unknown"),
];

impl Relays {
    /// Adds what one watch knows.
    pub fn add(&self, store: Store<Watched>) {
        self.stores.write().push(store);
    }

    /// All that there are.
    #[must_use]
    pub fn lives(&self) -> HashSet<Life> {
        let relays = self.stores.read();
        let relays = relays.iter().flat_map(Store::state);
        relays.map(|relay| Life::of(&*relay)).collect()
    }

    /// Whether one that can be read is so.
    #[must_use]
    pub fn any(&self, is: impl Fn(&SseRelay) -> bool) -> bool {
        let relays = self.stores.read();
        let mut relays = relays.iter().flat_map(Store::state);
        relays.any(|relay| relay.0.as_ref().is_ok_and(&is))
    }

    /// How many relays have each condition, zeros included.
    #[must_use]
    pub fn by_condition(&self) -> Vec<(&'static str, &'static str, i64)> {
        let mut counts: BTreeMap<(&str, &str), i64> = BTreeMap::new();
        for (_, condition) in CONDITIONS {
            for (_, status) in STATUSES {
                counts.insert((condition, status), 0);
            }
        }
        let relays: Vec<_> = self.stores.read().iter().flat_map(Store::state).collect();
        for relay in &relays {
            let status = relay
                .0
                .as_ref()
                .ok()
                .and_then(|relay| relay.status.as_ref());
            for held in status.iter().flat_map(|status| &status.conditions) {
                let condition = CONDITIONS.iter().find(|(about, _)| *about == held.r#type);
                let status = STATUSES.iter().find(|(holds, _)| *holds == held.status);
                if let (Some((_, condition)), Some((_, status))) = (condition, status) {
                    *counts.entry((condition, status)).or_insert(0) += 1;
                }
            }
        }
        counts
            .into_iter()
            .map(|((condition, status), count)| (condition, status, count))
            .collect()
    }
}

/// The relays of `store` that name the Secret or ConfigMap `name` of `namespace`.
pub fn with_object(
    store: &Store<Watched>,
    kind: KeyKind,
    namespace: &str,
    name: &str,
) -> Vec<ObjectRef<Watched>> {
    select(store, |relay| {
        let status = relay.status.as_ref();
        let generated = status.and_then(|status| status.token_secret.as_deref());
        let names = Names::of(relay);
        let made = [names.users(), names.probe()];
        let generated = generated == Some(name) || made.iter().any(|made| made == name);
        let generated = kind == KeyKind::Secret && generated;
        relay.namespace().as_deref() == Some(namespace)
            && (generated
                || references(&relay.spec)
                    .iter()
                    .any(|named| named.key.kind == kind && named.key.name == name))
    })
}

/// The relays of `store` whose way in goes by an IngressClass.
pub fn with_class(store: &Store<Watched>) -> Vec<ObjectRef<Watched>> {
    select(store, |relay| {
        let ingress = relay.spec.ingress.as_ref();
        ingress.is_some_and(|ingress| ingress.controller.is_none())
    })
}

fn select(store: &Store<Watched>, wanted: impl Fn(&SseRelay) -> bool) -> Vec<ObjectRef<Watched>> {
    let relays = store.state();
    let chosen = relays
        .iter()
        .filter(|relay| relay.0.as_ref().is_ok_and(&wanted));
    chosen.map(|relay| ObjectRef::from_obj(&**relay)).collect()
}
