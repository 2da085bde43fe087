//! The way in by the Gateway API, and objects of other projects' kinds: an API server without these kinds,
//! and then with them.

use kube::Api;
use kube::api::{DeleteParams, Patch, PatchParams};
use kube::core::{ApiResource, DynamicObject, GroupVersionKind};
use serde_json::{Value, json};
use sse_relay_operator::crd::{ConditionStatus as Holds, ConditionType as About, Reason};

use super::operator::{Operator, Served};
use super::server::{Server, User};
use super::until;

/// Objects of any kind beside a relay.
pub fn api(live: &Served, group: &str, version: &str, kind: &str) -> Api<DynamicObject> {
    let kind = GroupVersionKind::gvk(group, version, kind);
    let resource = ApiResource::from_gvk(&kind);
    Api::namespaced_with(live.client.clone(), &live.namespace, &resource)
}

fn route(live: &Served) -> Api<DynamicObject> {
    api(live, "gateway.networking.k8s.io", "v1", "HTTPRoute")
}

/// Says what a Gateway would say of the route.
async fn answer(live: &Served, accepted: bool, message: &str) {
    let condition = |about: &str, holds: bool| {
        json!({ "type": about, "status": if holds { "True" } else { "False" }, "reason": "Test",
            "message": message, "lastTransitionTime": "2026-01-01T00:00:00Z" })
    };
    let parent = json!({ "parentRef": { "name": "public" }, "controllerName": "example.com/gateway",
        "conditions": [condition("Accepted", accepted), condition("ResolvedRefs", true)] });
    let patch = json!({ "status": { "parents": [parent] } });
    route(live)
        .patch_status("live", &PatchParams::default(), &Patch::Merge(patch))
        .await
        .unwrap();
    // what looks at it again is the clock, or a change like this one
    let touch = json!({ "metadata": { "annotations": { "example.com/looked": message } } });
    live.patch(touch).await;
}

/// Makes an object of any kind, in a namespace or in none.
pub async fn make(server: &Server, namespace: Option<&str>, object: Value) {
    let object: DynamicObject = serde_json::from_value(object).unwrap();
    let kind = GroupVersionKind::try_from(object.types.clone().unwrap()).unwrap();
    let resource = ApiResource::from_gvk(&kind);
    let client = server.client(User::Admin);
    let api: Api<DynamicObject> = match namespace {
        Some(namespace) => Api::namespaced_with(client, namespace, &resource),
        None => Api::all_with(client, &resource),
    };
    let name = object.metadata.name.clone().unwrap();
    api.patch(&name, &PatchParams::apply("test"), &Patch::Apply(&object))
        .await
        .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_route_says_what_is_missing_is_made_when_it_can_be_and_removed_when_it_is_turned_off() {
    let server = Server::start().await;
    let client = server.client(User::Admin);
    let namespace = server.namespace("gateway").await;
    let _operator = Operator::of(client.clone(), &namespace, "0.1.0");
    let spec = json!({
        "gateway": { "parentRefs": [{ "name": "public" }], "hostnames": ["sse.example.com"] },
        "monitoring": { "podMonitor": true, "alerts": true, "dashboard": true },
    });
    let live = Served::create(&client, &namespace, "live", spec).await;
    live.says(About::RouteReady, Holds::False, Reason::KindNotInstalled)
        .await;
    live.says(About::AddOnsReady, Holds::False, Reason::KindNotInstalled)
        .await;
    // the relay itself runs without them
    live.deployment().await;

    server.install_foreign_definitions().await;
    let touch = json!({ "metadata": { "annotations": { "example.com/installed": "yes" } } });
    live.patch(touch).await;
    live.says(About::AddOnsReady, Holds::True, Reason::AsAsked)
        .await;
    until("the route is there", async || {
        route(&live).get("live").await.ok()
    })
    .await;
    answer(&live, true, "fine").await;
    live.says(About::RouteReady, Holds::False, Reason::GatewayNotFound)
        .await;

    make(&server, None, json!({ "apiVersion": "gateway.networking.k8s.io/v1", "kind": "GatewayClass",
        "metadata": { "name": "envoy" }, "spec": { "controllerName": "gateway.envoyproxy.io/gatewayclass-controller" } })).await;
    make(&server, Some(&namespace), json!({ "apiVersion": "gateway.networking.k8s.io/v1", "kind": "Gateway",
        "metadata": { "name": "public" }, "spec": { "gatewayClassName": "envoy", "listeners": [{ "name": "http", "port": 80, "protocol": "HTTP" }] } })).await;
    answer(&live, true, "found").await;
    live.says(About::RouteReady, Holds::True, Reason::AsAsked)
        .await;
    let policies = api(
        &live,
        "gateway.envoyproxy.io",
        "v1alpha1",
        "BackendTrafficPolicy",
    );
    policies.get("live").await.unwrap();
    answer(&live, false, "no listener of that name").await;
    let said = live
        .says(About::RouteReady, Holds::False, Reason::RouteNotAccepted)
        .await;
    assert!(
        said.message.contains("no listener of that name"),
        "{said:?}"
    );

    let off = json!({ "spec": { "gateway": null, "monitoring": null } });
    live.patch(off).await;
    let monitors = api(&live, "monitoring.coreos.com", "v1", "PodMonitor");
    until("what is turned off is removed", async || {
        let mut left = route(&live).get_opt("live").await.unwrap().is_some();
        left |= policies.get_opt("live").await.unwrap().is_some();
        left |= monitors.get_opt("live").await.unwrap().is_some();
        (!left).then_some(())
    })
    .await;
}

/// Waits until the object `live` is there again, after somebody took it away.
async fn comes_back(objects: Api<DynamicObject>) {
    let gone = until("it is there", async || objects.get("live").await.ok()).await;
    objects
        .delete("live", &DeleteParams::default())
        .await
        .unwrap();
    until("it is there again", async || {
        let there = objects.get_opt("live").await.ok()??;
        (there.metadata.uid != gone.metadata.uid).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn objects_of_other_projects_come_back_when_somebody_removes_or_changes_them() {
    let server = Server::start().await;
    server.install_foreign_definitions().await;
    let client = server.client(User::Admin);
    let namespace = server.namespace("drift").await;
    let _operator = Operator::of(client.clone(), &namespace, "0.1.0");
    let spec = json!({
        "gateway": { "parentRefs": [{ "name": "public" }], "hostnames": ["sse.example.com"], "implementation": "envoy-gateway" },
        "redis": { "external": { "standalone": { "host": "redis" } } },
        "autoscaling": { "hpa": { "max": 3 } },
        "monitoring": { "podMonitor": true },
    });
    let live = Served::create(&client, &namespace, "live", spec).await;
    live.deployment().await;
    live.all_pods_serve().await;
    live.says(About::Ready, Holds::True, Reason::AsAsked).await;
    answer(&live, true, "fine").await;
    live.says(About::RouteReady, Holds::True, Reason::AsAsked)
        .await;
    comes_back(api(&live, "autoscaling", "v2", "HorizontalPodAutoscaler")).await;
    comes_back(api(
        &live,
        "gateway.envoyproxy.io",
        "v1alpha1",
        "BackendTrafficPolicy",
    ))
    .await;

    let monitors = api(&live, "monitoring.coreos.com", "v1", "PodMonitor");
    let other = json!({ "spec": { "podMetricsEndpoints": [] } });
    monitors
        .patch("live", &PatchParams::default(), &Patch::Merge(other))
        .await
        .unwrap();
    until("what was changed is put back", async || {
        let monitor = monitors.get("live").await.ok()?;
        let endpoints = monitor.data["spec"]["podMetricsEndpoints"].as_array()?;
        (!endpoints.is_empty()).then_some(())
    })
    .await;
    assert!(live.told("PutBack").await.contains("PodMonitor live"));
    // the last, since a route that no Gateway has taken yet has the relay looked at every few seconds
    comes_back(route(&live)).await;
}
