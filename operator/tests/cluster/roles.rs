//! The chart's roles: the operator needs nothing else, and uses all of it.

use std::collections::BTreeSet;

use k8s_openapi::api::rbac::v1::{ClusterRole, ClusterRoleBinding, PolicyRule};
use kube::Api;
use kube::api::{DeleteParams, PostParams};
use serde_json::{Value, json};
use sse_relay_operator::crd::{ConditionStatus as Holds, ConditionType as About, Reason, SseRelay};
use sse_relay_operator::names::PAUSED;

use super::gateway::make;
use super::operator::{Operator, Served};
use super::server::{Server, User};

/// The rules of the chart, with all options on.
fn rules() -> Vec<PolicyRule> {
    let template = include_str!("../../../charts/sse-relay-operator/templates/_rules.tpl");
    let lines = template.lines().filter(|line| !line.starts_with("{{"));
    serde_saphyr::from_str(&lines.collect::<Vec<_>>().join("\n")).unwrap()
}

/// What is not used here: kinds whose definition is not to be had, the right that only a stricter
/// admission asks for, a volume that grows and pods that are told who leaves first, which have tests of
/// their own.
fn unseen(group: &str, resource: &str, verb: &str) -> bool {
    let clouds = [
        "cloud.google.com",
        "networking.gke.io",
        "gateway.k8s.aws",
        "configuration.konghq.com",
    ];
    clouds.contains(&group)
        || matches!(
            (resource, verb),
            ("sserelays/finalizers" | "persistentvolumeclaims", _)
                | ("statefulsets", "delete")
                | ("pods", "patch")
        )
}

/// Every triple of group, resource and verb that the rules allow, but for the unseen.
fn allowed(rules: &[PolicyRule]) -> BTreeSet<(String, String, String)> {
    let mut all = BTreeSet::new();
    for rule in rules {
        for group in rule.api_groups.iter().flatten() {
            for resource in rule.resources.iter().flatten() {
                for verb in rule
                    .verbs
                    .iter()
                    .filter(|verb| !unseen(group, resource, verb))
                {
                    all.insert((group.clone(), resource.clone(), verb.clone()));
                }
            }
        }
    }
    all
}

/// Every triple that the API server allowed the operator. A patch that makes an object counts as the
/// creation that it needs the right for too.
fn used(server: &Server) -> BTreeSet<(String, String, String)> {
    let mut all = BTreeSet::new();
    for line in server.audit().lines() {
        let event: Value = serde_json::from_str(line).unwrap();
        let of = |name: &str| {
            event["objectRef"][name]
                .as_str()
                .unwrap_or_default()
                .to_owned()
        };
        let resource = match of("subresource") {
            sub if sub.is_empty() => of("resource"),
            sub => format!("{}/{sub}", of("resource")),
        };
        let verb = event["verb"].as_str().unwrap_or_default();
        assert_ne!(event["responseStatus"]["code"], 403, "{line}");
        if event["responseStatus"]["code"] == 201 {
            all.insert((of("apiGroup"), resource.clone(), "create".to_owned()));
        }
        all.insert((of("apiGroup"), resource, verb.to_owned()));
    }
    all
}

/// Lets [`User::Limited`] do what the chart's roles let the operator do.
pub async fn allow(server: &Server) {
    let client = server.client(User::Admin);
    let role: ClusterRole =
        serde_json::from_value(json!({ "metadata": { "name": "operator" } })).unwrap();
    let mut role = role;
    let mut all = rules();
    // beside the rules of namespaces, the chart's role for the whole cluster
    all.extend(serde_json::from_value::<Vec<PolicyRule>>(json!([
        { "apiGroups": ["networking.k8s.io"], "resources": ["ingressclasses"], "verbs": ["get", "list", "watch"] }])).unwrap());
    role.rules = Some(all);
    let binding: ClusterRoleBinding = serde_json::from_value(json!({
        "metadata": { "name": "operator" },
        "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "operator" },
        "subjects": [{ "apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "limited" }] }))
    .unwrap();
    let post = PostParams::default();
    Api::all(client.clone()).create(&post, &role).await.unwrap();
    Api::all(client).create(&post, &binding).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_operator_needs_the_chart_s_roles_and_all_of_them() {
    let server = Server::start().await;
    server.install_foreign_definitions().await;
    allow(&server).await;
    let client = server.client(User::Admin);
    let namespace = server.namespace("roles").await;
    let operator = Operator::of(server.client(User::Limited), &namespace, "0.1.0");
    let everything = json!({
        "redis": { "managed": { "storage": { "size": "1Gi" } } },
        "gateway": { "parentRefs": [{ "name": "public" }], "hostnames": ["a.example.com"], "implementation": "envoy-gateway" },
        "monitoring": { "podMonitor": true, "alerts": true, "dashboard": true },
        "autoscaling": { "hpa": { "max": 3 } },
    });
    make(
        &server,
        None,
        json!({ "apiVersion": "gateway.networking.k8s.io/v1", "kind": "GatewayClass",
        "metadata": { "name": "other" }, "spec": { "controllerName": "example.com/other" } }),
    )
    .await;
    make(&server, Some(&namespace), json!({ "apiVersion": "gateway.networking.k8s.io/v1", "kind": "Gateway",
        "metadata": { "name": "public" }, "spec": { "gatewayClassName": "other", "listeners": [{ "name": "http", "port": 80, "protocol": "HTTP" }] } })).await;
    let live = Served::create(&client, &namespace, "live", everything).await;
    live.says(About::AddOnsReady, Holds::True, Reason::AsAsked)
        .await;
    live.deployment().await;

    // what is there goes, and other things come
    live.patch(json!({ "spec": { "gateway": null, "monitoring": null, "networkPolicy": { "enabled": false }, "disruptionBudget": { "enabled": false },
        "ingress": { "hosts": ["a.example.com"], "className": "none" }, "auth": { "anonymous": { "subscribe": ["**"] } },
        "autoscaling": { "hpa": null, "keda": { "max": 3 } } } })).await;
    live.says(
        About::RouteReady,
        Holds::False,
        Reason::IngressClassNotFound,
    )
    .await;
    live.patch(json!({ "spec": { "ingress": null, "autoscaling": null, "gateway": { "parentRefs": [{ "name": "public" }], "hostnames": ["a.example.com"] } } })).await;
    live.says(About::RouteReady, Holds::False, Reason::RouteNotAccepted)
        .await;
    // the same Event twice is one that is changed
    for paused in ["true", "false", "true"] {
        live.patch(json!({ "metadata": { "annotations": { PAUSED: paused } } }))
            .await;
        let (holds, reason) = match paused {
            "true" => (Holds::Unknown, Reason::Paused),
            _ => (Holds::False, Reason::NoReplicaReady),
        };
        live.says(About::Ready, holds, reason).await;
    }
    Api::<SseRelay>::namespaced(client.clone(), &namespace)
        .delete("live", &DeleteParams::default())
        .await
        .unwrap();
    operator.stop().await;
    let unused: Vec<_> = allowed(&rules())
        .difference(&used(&server))
        .cloned()
        .collect();
    assert!(
        unused.is_empty(),
        "the chart allows what is not used: {unused:#?}"
    );
}
