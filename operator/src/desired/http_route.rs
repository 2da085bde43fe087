//! The way in from outside by the Gateway API. Written byte for byte the same until the resource
//! changes.

use std::collections::BTreeMap;

use kube::core::{ApiResource, DynamicObject, GroupVersionKind};
use serde_json::{Value, json};

use super::exposure::{self, Shown};
use crate::crd::Exposed;
use crate::names::SERVICE_PORT;
use crate::validate::{By, Valid};

/// Its kind.
#[must_use]
pub fn kind() -> GroupVersionKind {
    GroupVersionKind::gvk("gateway.networking.k8s.io", "v1", "HTTPRoute")
}

pub fn build(valid: &Valid) -> Option<DynamicObject> {
    let way_in = valid.way_in.as_ref()?;
    let By::Gateway(asked, implementation) = &way_in.by else {
        return None;
    };
    let names = &valid.names;
    let parents: Vec<Value> = asked
        .parent_refs
        .iter()
        .map(|parent| serde_json::to_value(parent).expect("plain data"))
        .collect();
    let exposed = way_in.exposed.iter().copied();
    let (first, rest): (Vec<Exposed>, Vec<Exposed>) =
        exposed.partition(|exposed| *exposed == Exposed::Subscribe);
    let mut rules = Vec::new();
    if !first.is_empty() {
        let mut rule = rule(valid, &first);
        if implementation.takes_timeouts() {
            // without it some end every response after 15s
            rule["timeouts"] = json!({ "request": "0s" });
        }
        rules.push(rule);
    }
    if !rest.is_empty() {
        rules.push(rule(valid, &rest));
    }
    let mut object = DynamicObject::new(&names.relay, &ApiResource::from_gvk(&kind()))
        .within(&names.namespace)
        .data(json!({ "spec": { "parentRefs": parents, "hostnames": asked.hostnames, "rules": rules } }));
    let settings = way_in.profile.ingress.iter();
    let annotations: BTreeMap<String, String> = settings
        .map(|setting| (setting.key.to_owned(), setting.value.clone()))
        .collect();
    object.metadata.annotations = (!annotations.is_empty()).then_some(annotations);
    Some(object)
}

fn rule(valid: &Valid, exposed: &[Exposed]) -> Value {
    let paths = exposed
        .iter()
        .flat_map(|exposed| exposure::paths(valid, *exposed));
    let matches: Vec<Value> = paths
        .map(|path| match path {
            Shown::Exact(path) => (path, "Exact"),
            Shown::Below(path) => (path, "PathPrefix"),
        })
        .map(|(path, kind)| json!({ "path": { "type": kind, "value": path } }))
        .collect();
    json!({
        "matches": matches,
        "backendRefs": [{ "name": valid.names.relay, "port": SERVICE_PORT }],
    })
}
