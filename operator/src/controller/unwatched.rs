//! Objects of kinds that other projects bring: HTTPRoutes, policies, monitors. They are not watched, since a
//! watch on a kind that is not installed, or not any more, fails over and over and holds up the others.
//! They are listed at intervals instead, each kind once for all relays that have objects of it; what has
//! changed since makes the operator look at its relay.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use kube::api::ListParams;
use kube::core::{ApiResource, DynamicObject};
use kube::runtime::reflector::{ObjectRef, Store};
use kube::{Api, Client, ResourceExt};
use tokio::sync::mpsc;

use super::relays::Watched;
use crate::apply::foreign_kind;
use crate::names::OPERATOR;

/// Objects that come with one answer.
const PAGE: u32 = 500;
/// More than these are not looked at.
const PAGES: usize = 40;
/// Relays that wait to be looked at; past it the list waits, too.
pub const WAITING: usize = 256;

/// A relay, by namespace and name.
type Relay = (String, String);
/// Which version each object of one kind has: by its relay and its name.
type Versions = BTreeMap<(Relay, String), String>;

/// What was there of each kind when it was last listed.
#[derive(Default)]
struct Seen(HashMap<String, Versions>);

impl Seen {
    /// The relays whose objects of `kind` are others than before, or missing: `having` are those that
    /// must have one.
    fn changed(&mut self, kind: &str, now: Versions, having: &BTreeSet<Relay>) -> BTreeSet<Relay> {
        let owners: BTreeSet<&Relay> = now.keys().map(|(relay, _)| relay).collect();
        let mut changed: BTreeSet<Relay> = having
            .iter()
            .filter(|relay| !owners.contains(relay))
            .cloned()
            .collect();
        if let Some(before) = self.0.get(kind) {
            let other = |object| before.get(object) != now.get(object);
            let objects = before.keys().chain(now.keys());
            let others = objects.filter(|object| other(*object));
            changed.extend(others.map(|(relay, _)| relay.clone()));
        }
        self.0.insert(kind.to_owned(), now);
        changed
    }

    /// Forgets all but these kinds.
    fn only(&mut self, kinds: &BTreeMap<String, BTreeSet<Relay>>) {
        self.0.retain(|kind, _| kinds.contains_key(kind));
    }
}

/// Lists them every so often, and tells `changed` which relays are to be looked at. Never returns.
pub async fn look_after(
    client: Client,
    namespace: Option<String>,
    store: Store<Watched>,
    every: Duration,
    changed: mpsc::Sender<ObjectRef<Watched>>,
) {
    let mut seen = Seen::default();
    loop {
        tokio::time::sleep(every.mul_f64(0.9 + 0.2 * rand::random::<f64>())).await;
        let kinds = kinds(&store);
        seen.only(&kinds);
        for (kind, having) in &kinds {
            let Some(now) = list(&client, namespace.as_deref(), kind).await else {
                continue;
            };
            for (namespace, name) in seen.changed(kind, now, having) {
                // whoever would hear of it is gone when the operator stops
                let _ = changed.send(ObjectRef::new(&name).within(&namespace)).await;
            }
        }
    }
}

/// The kinds that relays have objects of, and which relays those are.
fn kinds(store: &Store<Watched>) -> BTreeMap<String, BTreeSet<Relay>> {
    let mut kinds: BTreeMap<String, BTreeSet<Relay>> = BTreeMap::new();
    for relay in store.state() {
        let Ok(relay) = &relay.0 else { continue };
        let key = (relay.namespace().unwrap_or_default(), relay.name_any());
        let status = relay.status.as_ref();
        let effective = status.and_then(|status| status.effective.as_ref());
        for kind in effective.iter().flat_map(|derived| &derived.foreign_kinds) {
            kinds.entry(kind.clone()).or_default().insert(key.clone());
        }
    }
    kinds
}

/// What there is of `kind`; `None` if that cannot be known, as while it is not installed: a look at a
/// relay tells what stands against its objects.
async fn list(client: &Client, namespace: Option<&str>, kind: &str) -> Option<Versions> {
    let resource = ApiResource::from_gvk(&foreign_kind(kind)?);
    let api: Api<DynamicObject> = match namespace {
        Some(namespace) => Api::namespaced_with(client.clone(), namespace, &resource),
        None => Api::all_with(client.clone(), &resource),
    };
    let mut params = ListParams::default()
        .labels(&format!("app.kubernetes.io/managed-by={OPERATOR}"))
        .limit(PAGE);
    let mut versions = Versions::new();
    for _ in 0..PAGES {
        let page = match api.list_metadata(&params).await {
            Ok(page) => page,
            Err(error) => {
                tracing::debug!(event = "unwatched.failed", kind, %error, "not listed");
                return None;
            }
        };
        params.continue_token = page.metadata.continue_.filter(|token| !token.is_empty());
        for object in page.items {
            let relay = object.labels().get("app.kubernetes.io/instance").cloned();
            let relay = (
                object.namespace().unwrap_or_default(),
                relay.unwrap_or_default(),
            );
            let version = object.resource_version().unwrap_or_default();
            versions.insert((relay, object.name_any()), version);
        }
        if params.continue_token.is_none() {
            break;
        }
    }
    Some(versions)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn relay(name: &str) -> Relay {
        ("shop".to_owned(), name.to_owned())
    }

    fn there(objects: &[(&str, &str)]) -> Versions {
        let object = |(name, version): &(&str, &str)| {
            ((relay(name), (*name).to_owned()), (*version).to_owned())
        };
        objects.iter().map(object).collect()
    }

    #[test]
    fn what_is_changed_missing_or_new_is_looked_at_and_what_is_as_before_is_not() {
        let mut seen = Seen::default();
        let having = BTreeSet::from([relay("a"), relay("b")]);
        let mut look = |objects| seen.changed("g/v1/Kind", there(objects), &having);
        assert_eq!(look(&[("a", "1"), ("b", "1")]), BTreeSet::new());
        assert_eq!(look(&[("a", "1"), ("b", "1")]), BTreeSet::new());
        assert_eq!(
            look(&[("a", "2"), ("b", "1")]),
            BTreeSet::from([relay("a")])
        );
        assert_eq!(look(&[("a", "2")]), BTreeSet::from([relay("b")]));
        // until it is there again
        assert_eq!(look(&[("a", "2")]), BTreeSet::from([relay("b")]));
        let more = look(&[("a", "2"), ("b", "3"), ("c", "1")]);
        assert_eq!(more, BTreeSet::from([relay("b"), relay("c")]));
        assert_eq!(
            look(&[("a", "2"), ("b", "3")]),
            BTreeSet::from([relay("c")])
        );
    }

    #[test]
    fn what_was_gone_before_the_first_look_is_missed_too() {
        let mut seen = Seen::default();
        let having = BTreeSet::from([relay("a")]);
        let missing = seen.changed("g/v1/Kind", Versions::new(), &having);
        assert_eq!(missing, having);
        seen.only(&BTreeMap::new());
        assert!(seen.0.is_empty());
    }
}
