//! The chart's roles: the operator, as the ServiceAccount that the chart makes, needs nothing else, and
//! uses all of it.

use std::collections::BTreeSet;

use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::rbac::v1::{ClusterRole, ClusterRoleBinding, PolicyRule, Role};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::Api;
use kube::api::{DeleteParams, PostParams};
use serde_json::{Value, json};
use sse_relay_operator::controller::Scope;
use sse_relay_operator::crd::{ConditionStatus as Holds, ConditionType as About, Reason, SseRelay};
use sse_relay_operator::lease::{Keeper, NAME};
use sse_relay_operator::names::PAUSED;

use super::gateway::{api, make};
use super::helm::{Helm, NAMESPACE, RELEASE};
use super::operator::{Operator, Served};
use super::server::{Server, User};
use super::until;

/// Kinds whose definitions are not to be had here: group, version, kind, plural. What their objects
/// hold is for golden files; that they are written and removed needs rights all the same.
const STAND_INS: [(&str, &str, &str, &str); 9] = [
    ("cloud.google.com", "v1", "BackendConfig", "backendconfigs"),
    (
        "networking.gke.io",
        "v1beta1",
        "FrontendConfig",
        "frontendconfigs",
    ),
    (
        "networking.gke.io",
        "v1",
        "GCPBackendPolicy",
        "gcpbackendpolicies",
    ),
    (
        "networking.gke.io",
        "v1",
        "HealthCheckPolicy",
        "healthcheckpolicies",
    ),
    (
        "gateway.k8s.aws",
        "v1beta1",
        "LoadBalancerConfiguration",
        "loadbalancerconfigurations",
    ),
    (
        "gateway.k8s.aws",
        "v1beta1",
        "TargetGroupConfiguration",
        "targetgroupconfigurations",
    ),
    (
        "configuration.konghq.com",
        "v1beta1",
        "KongUpstreamPolicy",
        "kongupstreampolicies",
    ),
    (
        "gateway.nginx.org",
        "v1alpha1",
        "ProxySettingsPolicy",
        "proxysettingspolicies",
    ),
    (
        "gateway.nginx.org",
        "v1alpha1",
        "UpstreamSettingsPolicy",
        "upstreamsettingspolicies",
    ),
];

async fn install_stand_ins(server: &Server) {
    let client = server.client(User::Admin);
    let definitions: Api<CustomResourceDefinition> = Api::all(client);
    for (group, version, kind, plural) in STAND_INS {
        let definition: CustomResourceDefinition = serde_json::from_value(json!({
            "metadata": { "name": format!("{plural}.{group}") },
            "spec": { "group": group, "scope": "Namespaced", "names": { "kind": kind, "plural": plural },
                "versions": [{ "name": version, "served": true, "storage": true, "schema": { "openAPIV3Schema": {
                    "type": "object", "x-kubernetes-preserve-unknown-fields": true } } }] } }))
        .unwrap();
        let post = PostParams::default();
        definitions.create(&post, &definition).await.unwrap();
        server.serves(&format!("{plural}.{group}")).await;
    }
}

/// What no request here shows: admission asks for the first, when an object gets an owner; pods are told
/// who leaves first, which has tests of its own.
fn unseen(resource: &str, verb: &str) -> bool {
    matches!(
        (resource, verb),
        ("sserelays/finalizers", _) | ("pods", "patch")
    )
}

/// Every triple of group, resource and verb that the rules allow, but for the unseen.
fn allowed(rules: &[PolicyRule]) -> BTreeSet<(String, String, String)> {
    let mut all = BTreeSet::new();
    for rule in rules {
        for group in rule.api_groups.iter().flatten() {
            for resource in rule.resources.iter().flatten() {
                for verb in rule.verbs.iter().filter(|verb| !unseen(resource, verb)) {
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

/// What the installed chart allows its operator.
async fn rules(server: &Server) -> Vec<PolicyRule> {
    let client = server.client(User::Admin);
    let roles: Api<ClusterRole> = Api::all(client.clone());
    let of_cluster = roles.get(RELEASE).await.unwrap().rules;
    let roles: Api<Role> = Api::namespaced(client, NAMESPACE);
    let of_lease = roles.get(&format!("{RELEASE}-lease")).await.unwrap().rules;
    of_cluster.into_iter().chain(of_lease).flatten().collect()
}

/// Lets [`User::Limited`] do what the chart's role lets the operator do.
pub async fn allow(server: &Server) {
    Helm::of("3").install(server, &[]);
    let binding: ClusterRoleBinding = serde_json::from_value(json!({
        "metadata": { "name": "limited" },
        "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": RELEASE },
        "subjects": [{ "apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "limited" }] }))
    .unwrap();
    let bindings = Api::all(server.client(User::Admin));
    let post = PostParams::default();
    bindings.create(&post, &binding).await.unwrap();
}

fn gateway(implementation: &str) -> Value {
    let mut gateway =
        json!({ "parentRefs": [{ "name": "public" }], "hostnames": ["a.example.com"] });
    if implementation != "detected" {
        gateway["implementation"] = implementation.into();
    }
    json!({ "spec": { "ingress": null, "gateway": gateway } })
}

fn ingress(controller: &str) -> Value {
    json!({ "spec": { "gateway": null, "ingress": {
        "hosts": ["a.example.com"], "controller": controller, "tls": { "secretName": "a" } } } })
}

/// Waits until the objects that this way in needs are there.
async fn has(live: &Served, kinds: &[&str]) {
    for kind in kinds {
        let (group, version, ..) = STAND_INS.iter().find(|known| known.2 == *kind).unwrap();
        let objects = api(live, group, version, kind);
        until("the way in has its objects", async || {
            objects.get("live").await.ok()
        })
        .await;
    }
}

/// Every way in whose objects are of kinds of others.
async fn goes_every_way(live: &Served) {
    live.patch(gateway("gke")).await;
    has(live, &["GCPBackendPolicy", "HealthCheckPolicy"]).await;
    live.patch(gateway("aws")).await;
    has(
        live,
        &["LoadBalancerConfiguration", "TargetGroupConfiguration"],
    )
    .await;
    live.patch(gateway("nginx-gateway-fabric")).await;
    has(live, &["ProxySettingsPolicy", "UpstreamSettingsPolicy"]).await;
    live.patch(ingress("kong")).await;
    has(live, &["KongUpstreamPolicy"]).await;
    live.patch(ingress("gce")).await;
    has(live, &["BackendConfig", "FrontendConfig"]).await;
    live.patch(json!({ "spec": { "gateway": null, "ingress": { "controller": null, "tls": null, "className": "none" } } })).await;
    live.says(
        About::RouteReady,
        Holds::False,
        Reason::IngressClassNotFound,
    )
    .await;
    live.patch(gateway("detected")).await;
    live.says(About::RouteReady, Holds::False, Reason::RouteNotAccepted)
        .await;
}

async fn make_gateway(server: &Server, namespace: &str) {
    make(
        server,
        None,
        json!({ "apiVersion": "gateway.networking.k8s.io/v1", "kind": "GatewayClass",
        "metadata": { "name": "other" }, "spec": { "controllerName": "example.com/other" } }),
    )
    .await;
    make(server, Some(namespace), json!({ "apiVersion": "gateway.networking.k8s.io/v1", "kind": "Gateway",
        "metadata": { "name": "public" }, "spec": { "gatewayClassName": "other", "listeners": [{ "name": "http", "port": 80, "protocol": "HTTP" }] } })).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_operator_needs_the_chart_s_roles_and_all_of_them() {
    let server = Server::start().await;
    server.install_foreign_definitions().await;
    install_stand_ins(&server).await;
    Helm::of("3").install(&server, &[]);
    let account = server.account(NAMESPACE, RELEASE).await;
    let client = server.client(User::Admin);
    let namespace = server.namespace("roles").await;
    make_gateway(&server, &namespace).await;
    let keeper = Keeper::new(account.clone(), NAMESPACE, NAME, "test");
    keeper.acquire().await;
    // somebody deletes the chart's
    let leases: Api<Lease> = Api::namespaced(client.clone(), NAMESPACE);
    let delete = DeleteParams::default();
    leases.delete(NAME, &delete).await.unwrap();
    keeper.acquire().await;
    let operator = Operator::start(account, Scope::Cluster, "0.1.0");
    let mut everything = gateway("envoy-gateway");
    everything["spec"]["redis"] = json!({ "managed": { "storage": { "size": "1Gi" } } });
    everything["spec"]["monitoring"] =
        json!({ "podMonitor": true, "alerts": true, "dashboard": true });
    everything["spec"]["autoscaling"] = json!({ "hpa": { "max": 3 } });
    let live = Served::create(&client, &namespace, "live", everything["spec"].take()).await;
    live.says(About::AddOnsReady, Holds::True, Reason::AsAsked)
        .await;
    live.deployment().await;

    // what is there goes, and other things come
    live.patch(json!({ "spec": { "gateway": null, "monitoring": null, "networkPolicy": { "enabled": false }, "disruptionBudget": { "enabled": false },
        "auth": { "anonymous": { "subscribe": ["**"] } }, "autoscaling": { "hpa": null, "keda": { "max": 3 } },
        "redis": { "managed": { "storage": { "size": "2Gi" } } } } })).await;
    goes_every_way(&live).await;
    live.patch(json!({ "spec": { "autoscaling": null } })).await;
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
    keeper.give_back().await;
    let unused: Vec<_> = allowed(&rules(&server).await)
        .difference(&used(&server))
        .cloned()
        .collect();
    assert!(
        unused.is_empty(),
        "the chart allows what is not used: {unused:#?}"
    );
}
