//! What people write by mistake, or forget: a condition and an Event say what to do, and nothing is made
//! by halves.

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{Namespace, Secret};
use kube::Api;
use kube::api::{DeleteParams, PostParams};
use serde_json::{Value, json};
use sse_relay_operator::crd::{ConditionStatus as Holds, ConditionType as About, Reason};

use super::operator::{Operator, Served};
use super::server::User;
use super::{shared, until};

/// Specs that cannot work, why, and what is to be done.
fn cannot_work() -> Vec<(Value, Reason, &'static str)> {
    let token = |secret: &str, key: &str| json!({ "auth": { "tokens": [{ "name": "a", "secret": { "name": secret, "key": key }, "publish": ["**"] }] } });
    let archive = |credentials: Value| json!({ "archive": { "postgres": { "host": "db", "database": "events", "credentials": credentials } } });
    vec![
        (
            token("nowhere", "key"),
            Reason::SecretNotFound,
            "there is no Secret `nowhere` in this namespace; create it, or name another",
        ),
        (
            token("here", "other"),
            Reason::SecretKeyNotFound,
            "Secret `here` has no key `other`; add it, or name another key",
        ),
        (
            token("here", "short"),
            Reason::InvalidSpec,
            "spec.auth.tokens[0].secret",
        ),
        (
            json!({ "tls": { "secretName": "here", "clientAuth": "Required", "clientCa": { "kind": "ConfigMap", "name": "nowhere" } } }),
            Reason::ConfigMapNotFound,
            "there is no ConfigMap `nowhere` in this namespace; create it",
        ),
        (
            archive(json!({ "name": "nowhere", "username": "relay" })),
            Reason::SecretNotFound,
            "spec.archive.postgres.credentials.passwordKey: there is no Secret `nowhere`",
        ),
        (
            archive(json!({ "name": "here", "passwordKey": "key" })),
            Reason::InvalidSpec,
            "spec.archive.postgres.credentials.username",
        ),
        (
            json!({ "settings": { "stream": { "retri": "5s" } } }),
            Reason::InvalidSpec,
            "spec.settings.stream.retri: unknown; write one of",
        ),
        (
            json!({ "routes": [{ "paths": ["/a"], "channels": ["a"], "dialects": {} }] }),
            Reason::InvalidSpec,
            "spec.routes[0]: unknown field `dialects`, expected one of",
        ),
        (
            json!({ "sources": [{ "name": "a", "sse": { "url": "http://other/", "credentials": { "tokenVariable": "TOKEN" } } }] }),
            Reason::InvalidSpec,
            "pods have no variables of yours; name a Secret in spec.files",
        ),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_work_is_explained_by_a_condition_and_an_event_and_nothing_is_made() {
    let server = shared().await;
    let client = server.client(User::Admin);
    let namespace = server.namespace("bad-input").await;
    let _operator = Operator::of(client.clone(), &namespace, "0.1.0");
    let secret = json!({ "metadata": { "name": "here" }, "stringData": {
        "key": "a-token-that-is-long-enough", "short": "short", "tls.crt": "a", "tls.key": "b" } });
    let secret: Secret = serde_json::from_value(secret).unwrap();
    let secrets: Api<Secret> = Api::namespaced(client.clone(), &namespace);
    secrets
        .create(&PostParams::default(), &secret)
        .await
        .unwrap();
    for (number, (spec, reason, remedy)) in cannot_work().into_iter().enumerate() {
        let name = format!("live-{number}");
        let live = Served::create(&client, &namespace, &name, spec).await;
        live.explains(About::Ready, Holds::False, reason, remedy)
            .await;
        live.says(About::Stalled, Holds::True, reason).await;
        let deployments = live.api::<Deployment>();
        assert!(deployments.get_opt(&name).await.unwrap().is_none());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_way_in_that_cannot_be_is_explained_by_a_condition_and_an_event() {
    let server = shared().await;
    let client = server.client(User::Admin);
    let namespace = server.namespace("no-way-in").await;
    let _operator = Operator::of(client.clone(), &namespace, "0.1.0");
    let hosts = json!(["sse.example.com"]);
    for (name, spec, reason, remedy) in [
        (
            "class",
            json!({ "ingress": { "hosts": hosts, "className": "nowhere" } }),
            Reason::IngressClassNotFound,
            "there is no IngressClass `nowhere`; correct spec.ingress.className",
        ),
        (
            "kind",
            json!({ "ingress": { "hosts": hosts, "controller": "gce" } }),
            Reason::KindNotInstalled,
            "BackendConfig `kind`: its kind is not installed in this cluster",
        ),
        (
            "gateway",
            json!({ "gateway": { "hostnames": hosts, "parentRefs": [{ "name": "public" }], "implementation": "istio" } }),
            Reason::KindNotInstalled,
            "HTTPRoute `gateway`: its kind is not installed in this cluster",
        ),
    ] {
        let live = Served::create(&client, &namespace, name, spec).await;
        live.explains(About::RouteReady, Holds::False, reason, remedy)
            .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_namespace_that_is_being_deleted_is_let_go_in_silence() {
    let server = shared().await;
    let client = server.client(User::Admin);
    let namespace = server.namespace("let-go").await;
    let live = Served::create(&client, &namespace, "live", json!({})).await;
    // nobody empties namespaces here: it stays in this state
    let namespaces: Api<Namespace> = Api::all(client.clone());
    namespaces
        .delete(&namespace, &DeleteParams::default())
        .await
        .unwrap();
    let operator = Operator::of(client.clone(), &namespace, "0.1.0");
    until("the relay was looked at", async || {
        let looked = operator.metric("sse_relay_operator_reconciles_total{outcome=\"unchanged\"}");
        (looked >= 1.0).then_some(())
    })
    .await;
    for trouble in ["failed", "incomplete"] {
        let metric = format!("sse_relay_operator_reconciles_total{{outcome=\"{trouble}\"}}");
        assert!(operator.metric(&metric) < 1.0, "{trouble}");
    }
    let status = live.get().await.status.unwrap_or_default();
    assert_eq!(status.conditions, [], "nobody is told anything");
}
