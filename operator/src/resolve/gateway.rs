//! Which program serves a Gateway.

use kube::core::{ApiResource, DynamicObject, GroupVersionKind};
use kube::{Api, Client, ResourceExt};

use super::GatewayFound;
use crate::crd::SseRelay;

fn resource(kind: &str) -> ApiResource {
    ApiResource::from_gvk(&GroupVersionKind::gvk(
        "gateway.networking.k8s.io",
        "v1",
        kind,
    ))
}

/// Looks at the first Gateway that `relay` names, and at its class.
pub async fn gateway(client: &Client, relay: &SseRelay) -> Result<GatewayFound, kube::Error> {
    let asked = relay.spec.gateway.as_ref();
    let asked = asked.filter(|gateway| gateway.implementation.is_none());
    let Some(parent) = asked.and_then(|gateway| gateway.parent_refs.first()) else {
        return Ok(GatewayFound::NotNeeded);
    };
    let status = relay.status.as_ref();
    let before = status.and_then(|status| status.effective.as_ref()?.gateway);
    let own = relay.namespace().unwrap_or_default();
    let namespace = parent.namespace.clone().unwrap_or(own);
    let gateways: Api<DynamicObject> =
        Api::namespaced_with(client.clone(), &namespace, &resource("Gateway"));
    let there = match allowed(gateways.get_opt(&parent.name).await)? {
        Looked::Forbidden => return Ok(GatewayFound::Forbidden { before }),
        Looked::At(there) => there,
    };
    let missing = |what: String| Ok(GatewayFound::Missing { what, before });
    let Some(there) = there else {
        let name = &parent.name;
        return missing(format!("Gateway `{name}` in the namespace `{namespace}`"));
    };
    let class = there.data["spec"]["gatewayClassName"].as_str();
    let class = class.unwrap_or_default();
    let classes: Api<DynamicObject> = Api::all_with(client.clone(), &resource("GatewayClass"));
    match allowed(classes.get_opt(class).await)? {
        Looked::Forbidden => Ok(GatewayFound::Forbidden { before }),
        Looked::At(None) => missing(format!("GatewayClass `{class}`")),
        Looked::At(Some(class)) => Ok(GatewayFound::Found {
            controller: class.data["spec"]["controllerName"]
                .as_str()
                .unwrap_or_default()
                .to_owned(),
        }),
    }
}

enum Looked {
    At(Option<Box<DynamicObject>>),
    Forbidden,
}

fn allowed(answer: Result<Option<DynamicObject>, kube::Error>) -> Result<Looked, kube::Error> {
    match answer {
        Ok(there) => Ok(Looked::At(there.map(Box::new))),
        Err(kube::Error::Api(status)) if status.code == 403 => Ok(Looked::Forbidden),
        // the kind itself is not there
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(Looked::At(None)),
        Err(error) => Err(error),
    }
}
