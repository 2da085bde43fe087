//! The schema, as the API server enforces it.

use std::path::Path;

use kube::api::{Patch, PatchParams, PostParams};
use kube::core::response::StatusCause;
use kube::core::{ApiResource, DynamicObject, GroupVersionKind};
use kube::{Api, ResourceExt};
use serde_json::{Value, json};
use sse_relay_operator::crd::{SseRelay, definition};

use super::server::{Server, User};
use super::shared;

/// Specs that are refused, and what is said about them.
fn refused() -> Vec<(Value, &'static str)> {
    let ingress = |more: Value| {
        let mut ingress = json!({ "hosts": ["a.example.com"] });
        ingress
            .as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        ingress
    };
    let slow = |controller: &str, interval: &str| json!({ "ingress": ingress(json!({ "controller": controller })), "heartbeat": { "interval": interval } });
    vec![
        (
            json!({ "replicas": 2 }),
            "would not see the events of the first",
        ),
        (json!({ "redis": {} }), "exactly one of managed"),
        (
            json!({ "redis": { "managed": {}, "external": { "standalone": { "host": "a" } } } }),
            "exactly one of managed",
        ),
        (
            json!({ "redis": { "managed": { "deletionPolicy": "Keep" } } }),
            "Unsupported value",
        ),
        (
            json!({ "redis": { "external": {} } }),
            "exactly one of standalone, sentinel and cluster",
        ),
        (
            json!({ "redis": { "external": { "standalone": { "host": "a" }, "cluster": { "hosts": ["a"] } } } }),
            "exactly one of standalone, sentinel and cluster",
        ),
        (
            json!({ "redis": { "external": { "sentinel": { "hosts": ["a"] } } } }),
            "sentinel.master: Required value",
        ),
        (
            json!({ "redis": { "external": { "standalone": { "host": "redis://a" } } } }),
            "should match",
        ),
        (
            json!({ "redis": { "external": { "standalone": { "host": "a" }, "credentials": { "name": "s", "username": "u", "usernameKey": "k" } } } }),
            "username and usernameKey exclude each other",
        ),
        (
            json!({ "redis": { "external": { "sentinel": { "master": "a", "hosts": ["a"], "credentials": { "name": "s", "username": "u", "usernameKey": "k" } } } } }),
            "username and usernameKey exclude each other",
        ),
        (
            json!({ "redis": { "external": { "standalone": { "host": "a" } }, "prefix": "a*" } }),
            "should match",
        ),
        (
            json!({ "redis": { "external": { "standalone": { "host": "a" }, "minReplicasAck": 17 } } }),
            "less than or equal to 16",
        ),
        (
            json!({ "archive": { "postgres": { "host": "postgres://a", "database": "b" } } }),
            "should match",
        ),
        (
            json!({ "archive": { "postgres": { "host": "a", "database": "b", "credentials": { "name": "s", "username": "u", "usernameKey": "k" } } } }),
            "username and usernameKey exclude each other",
        ),
        (
            json!({ "archive": { "postgres": { "host": "a" } } }),
            "archive.postgres.database: Required value",
        ),
        (
            json!({ "archive": { "postgres": { "host": "a", "database": "b" }, "schema": "A-b" } }),
            "should match",
        ),
        (json!({ "settings": ["http"] }), "must be of type object"),
        (json!({ "replicas": -1 }), "greater than or equal to 0"),
        (
            json!({ "expose": ["Publish"] }),
            "set ingress or gateway too, or remove expose",
        ),
        (
            json!({ "ingress": ingress(json!({})), "gateway": { "parentRefs": [{ "name": "a" }], "hostnames": ["a.example.com"] } }),
            "remove ingress or gateway",
        ),
        (
            json!({ "autoscaling": { "keda": { "max": 5 } } }),
            "more than one replica takes a Redis",
        ),
        (
            json!({ "redis": { "managed": {} }, "autoscaling": { "hpa": { "min": 6, "max": 5 } } }),
            "min is above max",
        ),
        (
            json!({ "redis": { "managed": {} }, "autoscaling": { "keda": { "min": 6, "max": 5 } } }),
            "min is above max",
        ),
        (
            json!({ "redis": { "managed": {} }, "autoscaling": { "hpa": { "max": 5 }, "keda": { "max": 5 } } }),
            "exactly one of streams, keda and hpa",
        ),
        (
            json!({ "redis": { "managed": {} }, "autoscaling": {} }),
            "exactly one of streams, keda and hpa",
        ),
        (
            json!({ "redis": { "managed": {} }, "autoscaling": { "streams": { "min": 6, "max": 5 } } }),
            "min is above max",
        ),
        (
            json!({ "redis": { "managed": {} }, "autoscaling": { "streams": { "max": 5, "perReplica": 10, "headroom": 10 } } }),
            "remove one of the two",
        ),
        (
            json!({ "redis": { "managed": {} }, "autoscaling": { "streams": { "max": 5, "scaleDownAfter": "61m" } } }),
            "at most 1h",
        ),
        (
            json!({ "redis": { "managed": {} }, "maxStreams": 100, "autoscaling": { "streams": { "max": 5, "perReplica": 101 } } }),
            "no more streams than maxStreams",
        ),
        (
            slow("haproxy-technologies", "25s"),
            "under half of the idle timeout",
        ),
        (
            slow("haproxy-ingress", "30s"),
            "under half of the idle timeout",
        ),
        (slow("contour", "150s"), "under half of the idle timeout"),
        (slow("cilium", "5m"), "under half of the idle timeout"),
        (slow("generic", "30s"), "under half of the idle timeout"),
        (
            json!({ "ingress": { "hosts": [] } }),
            "should have at least 1 items",
        ),
        (
            json!({ "ingress": ingress(json!({ "className": "x", "annotations": { "kubernetes.io/ingress.class": "y" } })) }),
            "exclude each other",
        ),
        (
            json!({ "ingress": ingress(json!({ "controller": "apache" })) }),
            "Unsupported value",
        ),
        (
            json!({ "rollout": { "drainWindow": "595s", "propagation": "10s" } }),
            "at most 600s",
        ),
        (
            json!({ "rollout": { "drainWindow": "a minute" } }),
            "should match",
        ),
        (
            json!({ "tls": { "secretName": "s", "clientAuth": "Required" } }),
            "name the authorities whose clients are believed",
        ),
        (
            json!({ "tls": { "secretName": "s" }, "ingress": ingress(json!({})) }),
            "ends TLS by itself",
        ),
        (
            json!({ "tls": { "secretName": "s" }, "gateway": { "parentRefs": [{ "name": "a" }], "hostnames": ["a.example.com"] } }),
            "ends TLS by itself",
        ),
        (
            json!({ "auth": { "certificates": [{ "name": "a", "san": "b", "publish": ["**"] }] } }),
            "name the authorities in tls.clientCa",
        ),
        (
            json!({ "auth": { "certificates": [{ "name": "a", "san": "b" }] } }),
            "allows nothing; say what its holder may",
        ),
        (
            json!({ "auth": { "certificates": [{ "name": "a", "publish": ["**"] }] } }),
            "exactly one of subject and san",
        ),
        (
            json!({ "traces": { "endpoint": "collector:4318" } }),
            "should match",
        ),
        (
            json!({ "traces": { "endpoint": "http://collector:4318/v1/traces", "sampleRatio": 2 } }),
            "less than or equal to 1",
        ),
        (json!({ "routes": ["/a"] }), "must be of type object"),
        (
            json!({ "files": [{ "name": "../a", "secret": { "name": "s", "key": "k" } }] }),
            "should match",
        ),
        (json!({ "auth": {} }), "allows nothing to anybody"),
        (
            json!({ "auth": { "tokens": [{ "name": "a", "secret": { "name": "s", "key": "k" } }] } }),
            "allows nothing; say what its holder may",
        ),
        (
            json!({ "auth": { "tokens": [
            { "name": "a", "secret": { "name": "s", "key": "k" }, "publish": ["**"] },
            { "name": "a", "secret": { "name": "s", "key": "l" }, "publish": ["**"] }] } }),
            "Duplicate value",
        ),
        (
            json!({ "auth": { "jwt": [{ "name": "a", "grant": { "publish": ["**"] } }] } }),
            "has no keys",
        ),
        (
            json!({ "auth": { "jwt": [{ "name": "a", "jwks": { "url": "https://id.example.com/" } }] } }),
            "would allow nothing",
        ),
        (
            json!({ "auth": { "jwt": [{ "name": "a", "keys": [{ "id": "one" }], "grant": { "publish": ["**"] } }] } }),
            "exactly one of publicKey and secret",
        ),
        (
            json!({ "auth": { "jwt": [{ "name": "a", "jwks": { "url": "http://id.example.com/" }, "grant": { "publish": ["**"] } }] } }),
            "should match",
        ),
        (json!({ "channels": [{ "match": "a.**" }] }), "sets nothing"),
        (
            json!({ "channels": [{ "match": "a.**", "overflow": "coalesce" }] }),
            "needs coalesceBy",
        ),
        (
            json!({ "channels": [{ "match": "a.**", "overflow": "disconnect", "coalesceBy": "b" }] }),
            "needs coalesceBy",
        ),
        (
            json!({ "cors": { "origins": ["*"], "credentials": true } }),
            "would let every page use its reader's cookies",
        ),
        (
            json!({ "podTemplate": { "labels": { "app.kubernetes.io/name": "x" } } }),
            "are the operator's own",
        ),
        (json!({ "maxLogBytes": "a lot" }), "should match"),
        (
            json!({ "image": { "digest": "sha256:abc" } }),
            "should match",
        ),
        (json!({ "version": "1.0 beta" }), "should match"),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn every_rule_refuses_what_it_is_for_with_what_to_do() {
    let server = shared().await;
    let namespace = server.namespace("rules").await;
    let relays = relays(server.client(User::Admin), &namespace);
    for (spec, message) in refused() {
        let said = create(&relays, "live", spec.clone())
            .await
            .unwrap_err()
            .text;
        assert!(said.contains(message), "{spec}: {said}");
    }
}

/// Specs, what is merged into them, and what is said about that.
fn refused_changes() -> Vec<(Value, Value, &'static str)> {
    let external = || json!({ "redis": { "external": { "standalone": { "host": "a" } } } });
    let managed =
        || json!({ "redis": { "managed": { "storage": { "size": "2Gi", "className": "one" } } } });
    vec![
        (
            external(),
            json!({ "redis": null, "replicas": 1 }),
            "would begin an empty log",
        ),
        (
            external(),
            json!({ "redis": { "prefix": "other" } }),
            "stays under the prefix",
        ),
        (
            external(),
            json!({ "redis": { "external": { "standalone": null, "cluster": { "hosts": ["a"] } } } }),
            "cannot move into or out of a Cluster",
        ),
        (
            external(),
            json!({ "redis": { "external": { "standalone": { "database": 3 } } } }),
            "the log stays in the database that it began in;",
        ),
        (
            external(),
            json!({ "redis": { "external": { "standalone": null, "sentinel": { "master": "main", "hosts": ["a"], "database": 3 } } } }),
            "the log stays in the database that it began in, also behind Sentinels",
        ),
        (
            external(),
            json!({ "redis": { "external": null, "managed": {} } }),
            "does not move from one Redis to another",
        ),
        (
            managed(),
            json!({ "redis": { "managed": { "storage": { "size": "1Gi" } } } }),
            "a volume can grow, not shrink",
        ),
        (
            managed(),
            json!({ "redis": { "managed": { "storage": { "className": "other" } } } }),
            "a volume stays in its class",
        ),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn what_would_lose_the_log_cannot_be_changed() {
    let server = shared().await;
    let namespace = server.namespace("rules-of-changes").await;
    let relays = relays(server.client(User::Admin), &namespace);
    for (number, (spec, patch, message)) in refused_changes().into_iter().enumerate() {
        let name = format!("live-{number}");
        let said = change(&relays, &name, spec, &patch).await;
        assert!(
            said.iter().any(|cause| cause.message.contains(message)),
            "{patch}: {said:?}"
        );
    }
}

/// The rules of a schema: to which fields they point, `*` for any of a list, and what they say.
fn rules(schema: &Value, path: &str, found: &mut Vec<(String, String)>) {
    let own = schema["x-kubernetes-validations"].as_array();
    for rule in own.into_iter().flatten() {
        let field = rule["fieldPath"].as_str().unwrap_or_default();
        let message = rule["message"].as_str().unwrap().to_owned();
        found.push((format!("{path}{field}"), message));
    }
    for (name, property) in schema["properties"].as_object().into_iter().flatten() {
        rules(property, &format!("{path}.{name}"), found);
    }
    if schema["items"].is_object() {
        rules(&schema["items"], &format!("{path}[0]"), found);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn there_is_no_rule_that_these_tests_do_not_break() {
    let server = shared().await;
    let namespace = server.namespace("all-rules").await;
    let relays = relays(server.client(User::Admin), &namespace);
    let mut causes = Vec::new();
    for (spec, _) in refused() {
        causes.extend(create(&relays, "live", spec).await.unwrap_err().causes);
    }
    for (number, (spec, patch, _)) in refused_changes().into_iter().enumerate() {
        causes.extend(change(&relays, &format!("live-{number}"), spec, &patch).await);
    }
    for name in ["live-pods", "live.eu"] {
        causes.extend(create(&relays, name, json!({})).await.unwrap_err().causes);
    }
    let definition = serde_json::to_value(definition()).unwrap();
    let schema = &definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"];
    let mut all = Vec::new();
    rules(schema, "", &mut all);
    assert!(all.len() >= 40, "found only {} rules", all.len());
    let unbroken: Vec<_> = all
        .iter()
        .filter(|(path, message)| {
            // of the whole resource no field is named
            let field = path.trim_start_matches('.');
            !causes.iter().any(|cause| {
                (field.is_empty() || cause.field == field) && cause.message.contains(message)
            })
        })
        .collect();
    assert!(unbroken.is_empty(), "{unbroken:#?}\n{causes:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn names_that_would_collide_or_be_too_long_are_refused() {
    let server = shared().await;
    let namespace = server.namespace("names").await;
    let relays = relays(server.client(User::Admin), &namespace);
    for end in [
        "pods",
        "config",
        "tokens",
        "redis",
        "users",
        "dashboard",
        "probe",
    ] {
        let name = format!("live-{end}");
        let said = create(&relays, &name, json!({})).await.unwrap_err().text;
        assert!(
            said.contains("belong to the objects of another relay"),
            "{name}: {said}"
        );
    }
    for name in ["1live", "live.eu", &"a".repeat(51)] {
        let said = create(&relays, name, json!({})).await.unwrap_err().text;
        assert!(
            said.contains("at most 50 lowercase letters"),
            "{name}: {said}"
        );
    }
    let said = create(&relays, &"a".repeat(10_000), json!({}))
        .await
        .unwrap_err()
        .text;
    assert!(said.contains("must be no more than 253"), "{said}");
    create(&relays, &"a".repeat(50), json!({})).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_misspelt_field_is_refused_where_validation_is_strict() {
    let server = shared().await;
    let namespace = server.namespace("misspelt").await;
    let relays = relays(server.client(User::Admin), &namespace);
    let strict = PatchParams::apply("test").validation_strict();
    let relay = json!({ "apiVersion": "sserelay.dev/v1alpha1", "kind": "SseRelay", "metadata": { "name": "live" }, "spec": { "replica": 1 } });
    let said = relays
        .patch("live", &strict, &Patch::Apply(relay))
        .await
        .unwrap_err();
    assert!(said.to_string().contains("spec.replica"), "{said}");
}

fn relays(client: kube::Client, namespace: &str) -> Api<DynamicObject> {
    let kind = ApiResource::erase::<SseRelay>(&());
    Api::namespaced_with(client, namespace, &kind)
}

/// What the API server says against something.
#[derive(Debug)]
struct Refused {
    text: String,
    causes: Vec<StatusCause>,
}

impl From<kube::Error> for Refused {
    fn from(error: kube::Error) -> Self {
        let text = error.to_string();
        let kube::Error::Api(status) = error else {
            panic!("{text}");
        };
        let causes = status.details.map(|details| details.causes);
        Self {
            text,
            causes: causes.unwrap_or_default(),
        }
    }
}

async fn create(relays: &Api<DynamicObject>, name: &str, spec: Value) -> Result<(), Refused> {
    let kind = ApiResource::erase::<SseRelay>(&());
    let relay = DynamicObject::new(name, &kind).data(json!({ "spec": spec }));
    let dry = PostParams {
        dry_run: true,
        ..PostParams::default()
    };
    relays.create(&dry, &relay).await?;
    Ok(())
}

/// What is said against changing a resource that is there.
async fn change(
    relays: &Api<DynamicObject>,
    name: &str,
    spec: Value,
    patch: &Value,
) -> Vec<StatusCause> {
    let kind = ApiResource::erase::<SseRelay>(&());
    let relay = DynamicObject::new(name, &kind).data(json!({ "spec": spec }));
    relays.create(&PostParams::default(), &relay).await.unwrap();
    let patch = Patch::Merge(json!({ "spec": patch }));
    let changed = relays.patch(name, &PatchParams::default(), &patch).await;
    Refused::from(changed.unwrap_err()).causes
}

#[tokio::test(flavor = "multi_thread")]
async fn the_api_server_takes_every_resource_and_object_of_the_golden_files() {
    // one of its own: other tests look at an API server without the kinds of others
    let server = Server::start().await;
    server.install_foreign_definitions().await;
    let client = server.client(User::Admin);
    server.namespace("trading").await;
    server.namespace("shop").await;
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut checked = 0;
    for folder in [here.join("tests/golden"), here.join("../examples")] {
        for entry in std::fs::read_dir(folder).unwrap() {
            let file = entry.unwrap().path();
            if file.is_dir() {
                continue; // routes, which are configuration of the relay
            }
            let text = std::fs::read_to_string(file).unwrap();
            for document in text.split("\n---\n") {
                let object: DynamicObject = serde_saphyr::from_str(document).unwrap();
                let kind = GroupVersionKind::try_from(object.types.clone().unwrap()).unwrap();
                if FOREIGN.contains(&kind.kind.as_str()) {
                    continue;
                }
                let resource = match kind.kind.as_str() {
                    "SseRelay" => ApiResource::erase::<SseRelay>(&()),
                    _ => ApiResource::from_gvk(&kind),
                };
                let namespace = object.namespace().unwrap_or_else(|| "default".to_owned());
                let api: Api<DynamicObject> =
                    Api::namespaced_with(client.clone(), &namespace, &resource);
                let strict = PatchParams::apply("test").validation_strict().dry_run();
                let name = object.name_any();
                let taken = api.patch(&name, &strict, &Patch::Apply(&object)).await;
                taken.unwrap_or_else(|error| panic!("{} {name}: {error}", kind.kind));
                checked += 1;
            }
        }
    }
    assert!(checked > 150, "only {checked} objects");
}

/// Kinds of clouds and controllers whose definitions are not to be had here.
const FOREIGN: [&str; 9] = [
    "BackendConfig",
    "FrontendConfig",
    "GCPBackendPolicy",
    "HealthCheckPolicy",
    "KongUpstreamPolicy",
    "LoadBalancerConfiguration",
    "ProxySettingsPolicy",
    "TargetGroupConfiguration",
    "UpstreamSettingsPolicy",
];
