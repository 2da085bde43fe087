//! A relay from its creation to its end.

use k8s_openapi::api::apps::v1::{Deployment, StatefulSet};
use k8s_openapi::api::core::v1::{ConfigMap, Secret, Service, ServiceAccount};
use k8s_openapi::api::events::v1::Event;
use k8s_openapi::api::networking::v1::{Ingress, NetworkPolicy};
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use kube::api::{DeleteParams, ListParams};
use kube::{Client, Resource, ResourceExt};
use serde_json::json;
use sse_relay_operator::crd::{ConditionStatus as Holds, ConditionType as About, Reason, SseRelay};

use super::operator::{Operator, Served};
use super::server::{Server, User};
use super::{patiently, shared, until};

/// A hundred looks take a slow machine as long as they take.
const MINUTES: std::time::Duration = std::time::Duration::from_secs(600);

#[tokio::test(flavor = "multi_thread")]
async fn five_lines_become_everything_that_runs_a_relay() {
    let server = shared().await;
    let client = server.client(User::Admin);
    let namespace = server.namespace("five-lines").await;
    let _operator = Operator::of(client.clone(), &namespace, "0.1.0");
    let live = Served::create(&client, &namespace, "live", json!({})).await;

    live.says(About::Ready, Holds::False, Reason::NoReplicaReady)
        .await;
    live.says(About::Reconciling, Holds::True, Reason::RollingOut)
        .await;
    let uid = live.get().await.metadata.uid.unwrap();
    let owned = |owner: &k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta| {
        let owners = owner.owner_references.clone().unwrap();
        assert_eq!(owners[0].uid, uid);
        assert_eq!(owners[0].controller, Some(true));
    };
    owned(
        live.api::<ConfigMap>()
            .get("live-config")
            .await
            .unwrap()
            .meta(),
    );
    owned(
        live.api::<ServiceAccount>()
            .get("live")
            .await
            .unwrap()
            .meta(),
    );
    owned(live.api::<Service>().get("live").await.unwrap().meta());
    owned(live.api::<Service>().get("live-pods").await.unwrap().meta());
    owned(
        live.api::<PodDisruptionBudget>()
            .get("live")
            .await
            .unwrap()
            .meta(),
    );
    owned(
        live.api::<NetworkPolicy>()
            .get("live")
            .await
            .unwrap()
            .meta(),
    );
    owned(live.api::<Deployment>().get("live").await.unwrap().meta());
    let tokens = live.api::<Secret>().get("live-tokens").await.unwrap();
    owned(tokens.meta());
    for key in ["publish", "subscribe", "manage"] {
        let token = String::from_utf8(tokens.data.as_ref().unwrap()[key].0.clone()).unwrap();
        assert!(token.starts_with("sserelay_") && token.len() > 60, "{key}");
    }

    live.all_pods_serve().await;
    live.says(About::Ready, Holds::True, Reason::AsAsked).await;
    live.says(About::Progressing, Holds::False, Reason::AsAsked)
        .await;
    live.says(About::Stalled, Holds::False, Reason::AsAsked)
        .await;
    let status = live.get().await.status.unwrap();
    assert_eq!(status.url.as_deref(), Some("http://live.five-lines"));
    assert_eq!(status.token_secret.as_deref(), Some("live-tokens"));
    assert_eq!((status.replicas, status.ready_replicas), (1, 1));
    assert_eq!(status.pinned.unwrap().version, "0.1.0");
    let scale = live.api::<SseRelay>().get_scale("live").await.unwrap();
    assert_eq!(scale.status.unwrap().selector, status.selector);

    let told = until("the transitions are told as Events", async || {
        let events = live
            .api::<Event>()
            .list(&ListParams::default())
            .await
            .unwrap();
        let reasons: Vec<String> = events.into_iter().filter_map(|e| e.reason).collect();
        (reasons.len() >= 3).then_some(reasons)
    });
    let told = told.await;
    assert!(told.contains(&"AsAsked".to_owned()), "{told:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_looks_at_an_unchanged_relay_write_nothing() {
    let server = shared().await;
    let client = server.client(User::Admin);
    let namespace = server.namespace("unchanged").await;
    let operator = Operator::of(client.clone(), &namespace, "0.1.0");
    let spec = json!({ "ingress": { "hosts": ["sse.example.com"], "controller": "ingress-nginx", "tls": { "secretName": "tls" } }, "maxLogBytes": "1024Mi" });
    stays_as_it_is(&client, &operator, &namespace, spec).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_looks_at_whatever_is_written_in_another_way_than_it_is_stored_write_nothing() {
    let server = Server::start().await;
    server.install_foreign_definitions().await;
    let client = server.client(User::Admin);
    let namespace = server.namespace("unchanged").await;
    let operator = Operator::of(client.clone(), &namespace, "0.1.0");
    let spec = json!({
        "redis": { "managed": { "memory": "600M", "storage": { "size": "5000M" },
            "tolerations": [{ "key": "", "operator": "Exists", "effect": "" }] } },
        "gateway": { "parentRefs": [{ "name": "public" }], "hostnames": ["sse.example.com"], "implementation": "envoy-gateway" },
        "autoscaling": { "hpa": { "min": 1, "max": 3, "perReplica": 10000 } },
        "monitoring": { "podMonitor": true, "alerts": true, "dashboard": true },
        "podTemplate": {
            "resources": { "requests": { "cpu": "1000m", "memory": "0.5Gi" }, "limits": { "cpu": "1500m", "memory": "1024Mi" } },
            "tolerations": [{ "key": "spot", "operator": "Exists", "value": "" }],
            "affinity": { "podAntiAffinity": { "requiredDuringSchedulingIgnoredDuringExecution": [],
                "preferredDuringSchedulingIgnoredDuringExecution": [{ "weight": 1, "podAffinityTerm": {
                    "topologyKey": "zone", "namespaces": [], "labelSelector": { "matchLabels": {}, "matchExpressions": [] } } }] } },
        },
    });
    stays_as_it_is(&client, &operator, &namespace, spec).await;
}

/// Looks at a relay of this spec a hundred times, and sees that nothing is written.
async fn stays_as_it_is(
    client: &Client,
    operator: &Operator,
    namespace: &str,
    spec: serde_json::Value,
) {
    let live = Served::create(client, namespace, "live", spec).await;
    live.deployment().await;
    live.all_pods_serve().await;
    live.says(About::Ready, Holds::True, Reason::AsAsked).await;

    let before = versions(&live).await;
    let writes = operator.metric("sse_relay_operator_writes_total");
    let unchanged =
        || operator.metric("sse_relay_operator_reconciles_total{outcome=\"unchanged\"}");
    let start = unchanged();
    patiently(MINUTES, "a hundred more looks", async || {
        // an annotation of nobody's changes nothing, and is looked at
        let count = unchanged() - start;
        live.patch(
            json!({ "metadata": { "annotations": { "look": count.to_string() + &rand_text() } } }),
        )
        .await;
        (count >= 100.0).then_some(())
    })
    .await;
    assert_eq!(versions(&live).await, before);
    assert_eq!(operator.metric("sse_relay_operator_writes_total"), writes);
    let generation = live.get().await.metadata.generation;
    assert_eq!(generation, Some(1), "the operator never writes a spec");
}

fn rand_text() -> String {
    format!("-{:x}", rand::random::<u64>())
}

/// Each object's version, by kind and name.
async fn versions(live: &Served) -> Vec<String> {
    let mut versions = Vec::new();
    let all = ListParams::default();
    macro_rules! of {
        ($kind:ty) => {
            for object in live.api::<$kind>().list(&all).await.unwrap() {
                let version = object.resource_version().unwrap();
                versions.push(format!(
                    "{} {} {version}",
                    stringify!($kind),
                    object.name_any()
                ));
            }
        };
    }
    of!(ConfigMap);
    of!(Secret);
    of!(ServiceAccount);
    of!(Service);
    of!(PodDisruptionBudget);
    of!(NetworkPolicy);
    of!(Ingress);
    of!(Deployment);
    of!(StatefulSet);
    assert!(versions.len() >= 9, "{versions:?}");
    versions
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_relay_leaves_nothing_behind() {
    let server = Server::start().await;
    let client = server.client(User::Admin);
    let namespace = server.namespace("deleted").await;
    let _operator = Operator::of(client.clone(), &namespace, "0.1.0");
    let _collector = server.controllers("garbage-collector-controller");
    let spec = json!({ "ingress": { "hosts": ["sse.example.com"], "controller": "contour" } });
    let live = Served::create(&client, &namespace, "live", spec).await;
    live.says(About::RouteReady, Holds::True, Reason::NeedsAdministrator)
        .await;
    live.api::<SseRelay>()
        .delete("live", &DeleteParams::default())
        .await
        .unwrap();
    until("all its objects are gone", async || {
        let all = ListParams::default().labels("app.kubernetes.io/instance=live");
        let left = live
            .api::<ConfigMap>()
            .list(&all)
            .await
            .unwrap()
            .items
            .len()
            + live.api::<Secret>().list(&all).await.unwrap().items.len()
            + live
                .api::<ServiceAccount>()
                .list(&all)
                .await
                .unwrap()
                .items
                .len()
            + live.api::<Service>().list(&all).await.unwrap().items.len()
            + live
                .api::<PodDisruptionBudget>()
                .list(&all)
                .await
                .unwrap()
                .items
                .len()
            + live
                .api::<NetworkPolicy>()
                .list(&all)
                .await
                .unwrap()
                .items
                .len()
            + live.api::<Ingress>().list(&all).await.unwrap().items.len()
            + live
                .api::<Deployment>()
                .list(&all)
                .await
                .unwrap()
                .items
                .len();
        (left == 0).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_paused_relay_is_left_alone() {
    let server = shared().await;
    let client = server.client(User::Admin);
    let namespace = server.namespace("paused").await;
    let operator = Operator::of(client.clone(), &namespace, "0.1.0");
    let route = json!({ "ingress": { "hosts": ["a.example.com"], "controller": "ingress-nginx" } });
    let live = Served::create(&client, &namespace, "live", route).await;
    live.deployment().await;
    let about_route = async || {
        let conditions = live.get().await.status?.conditions;
        let mut conditions = conditions.into_iter();
        conditions.find(|condition| condition.r#type == About::RouteReady)
    };
    let route = until("the route is told of", &about_route).await;
    live.patch(json!({ "metadata": { "annotations": { "sserelay.dev/paused": "true" } } }))
        .await;
    live.says(About::Ready, Holds::Unknown, Reason::Paused)
        .await;
    assert_eq!(about_route().await, Some(route), "it holds as before");
    live.patch(json!({ "spec": { "retention": { "events": 7 } } }))
        .await;
    live.says(About::Ready, Holds::Unknown, Reason::Paused)
        .await;
    assert!(!live.configuration().await.contains("events: 7"));
    live.patch(json!({ "metadata": { "annotations": { "sserelay.dev/paused": null } } }))
        .await;
    until("it goes on", async || {
        live.configuration()
            .await
            .contains("events: 7")
            .then_some(())
    })
    .await;
    operator.stop().await;
}
