//! What was derived from a resource, and what holds by default, stands in its status.

use std::collections::BTreeMap;

use k8s_openapi::api::networking::v1::IngressClass;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::JSONSchemaProps;
use kube::Api;
use kube::api::PostParams;
use relay_config::{ByteSize, Timespan};
use serde_json::json;
use sse_relay_operator::crd::{
    ConditionStatus as Holds, ConditionType as About, Effective, Reason, definition,
};

use super::operator::{Operator, Served};
use super::server::User;
use super::{shared, until};

async fn effective(live: &Served) -> Effective {
    until("the status says what was derived", async || {
        live.get().await.status?.effective
    })
    .await
}

/// Fields whose description says a constant that holds if they are left out, but for those of lists.
fn told(schema: &JSONSchemaProps, path: &str, all: &mut BTreeMap<String, String>) {
    for (name, field) in schema.properties.iter().flatten() {
        let path = match path {
            "" => name.clone(),
            path => format!("{path}.{name}"),
        };
        let words: Vec<&str> = field
            .description
            .iter()
            .flat_map(|text| text.split_whitespace())
            .collect();
        let words = words.join(" ");
        if let Some((before, _)) = words.split_once(", if it is left out") {
            let constant = before.rsplit("; ").next().unwrap();
            if constant.starts_with(|c: char| c.is_ascii_digit()) {
                all.insert(path.clone(), constant.to_owned());
            }
        }
        told(field, &path, all);
    }
}

/// Whether two texts say the same number, time or size.
fn same(one: &str, other: &str) -> bool {
    let time = |text: &str| text.parse::<Timespan>().ok();
    let size = |text: &str| text.parse::<ByteSize>().ok();
    one == other
        || (time(one).is_some() && time(one) == time(other))
        || (size(one).is_some() && size(one) == size(other))
}

#[tokio::test(flavor = "multi_thread")]
async fn every_constant_of_the_definition_is_what_the_status_says_that_holds() {
    let server = shared().await;
    let client = server.client(User::Admin);
    let namespace = server.namespace("defaults").await;
    let _operator = Operator::of(client.clone(), &namespace, "0.1.0");
    let spec = json!({
        "redis": { "external": { "standalone": { "host": "redis" } } },
        "archive": { "postgres": { "host": "db", "database": "events" } },
        "cors": { "origins": ["https://example.com"] },
        "traces": { "endpoint": "http://collector:4318/v1/traces" },
        "auth": { "forward": { "url": "http://application/whoami" } },
        "autoscaling": { "streams": { "max": 3 } },
    });
    let live = Served::create(&client, &namespace, "live", spec).await;
    let holds = effective(&live).await.defaults;
    let version = &definition().spec.versions[0];
    let schema = version.schema.as_ref().unwrap();
    let root = schema.open_api_v3_schema.as_ref().unwrap();
    let mut constants = BTreeMap::new();
    let properties = root.properties.as_ref().unwrap();
    told(&properties["spec"], "", &mut constants);
    assert!(constants.len() >= 25, "{constants:?}");
    let fields: Vec<&String> = constants.keys().collect();
    assert_eq!(holds.keys().collect::<Vec<_>>(), fields);
    for (field, constant) in &constants {
        assert!(same(&holds[field], constant), "{field}: {constant}");
    }

    live.patch(json!({ "spec": { "heartbeat": { "interval": "20s" }, "cors": null } }))
        .await;
    until("what is written is no default", async || {
        let holds = effective(&live).await.defaults;
        let gone = ["heartbeat.interval", "cors.maxAge"];
        (!gone.iter().any(|field| holds.contains_key(*field))).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_derived_is_what_the_pods_are_asked_for() {
    let server = shared().await;
    let client = server.client(User::Admin);
    let namespace = server.namespace("derived").await;
    let _operator = Operator::of(client.clone(), &namespace, "0.1.0");
    let spec = json!({
        "maxStreams": 1000,
        "redis": { "managed": { "memory": "1Gi" } },
        "autoscaling": { "streams": { "max": 3, "headroom": 50 } },
        "rollout": { "drainWindow": "30s" },
    });
    let live = Served::create(&client, &namespace, "live", spec).await;
    let derived = effective(&live).await;
    assert_eq!(derived.cpu.as_deref(), Some("110m"));
    assert!(derived.memory.unwrap().ends_with("Mi"));
    assert_eq!(derived.connections, 1_100);
    assert_eq!(derived.streams_per_replica, Some(500));
    let seconds = |text: &str| text.strip_suffix('s').unwrap().parse::<u64>().unwrap();
    assert!(seconds(&derived.drain) >= 30);
    assert!(seconds(&derived.termination_grace_period) >= seconds(&derived.drain));
    let most: ByteSize = derived.redis_max_memory.unwrap().parse().unwrap();
    assert_eq!(most.get(), (1 << 30) / 10 * 7);
    assert!(derived.image.ends_with(":0.1.0"));
    assert_eq!(derived.redis_prefix.as_deref(), Some("derived:live"));

    live.patch(json!({ "spec": {
        "podTemplate": { "resources": { "requests": { "cpu": "0.5" }, "limits": { "memory": "1024Mi" } } },
        "autoscaling": { "streams": null, "hpa": { "max": 3, "perReplica": 700 } } } }))
        .await;
    until("what is written wins, also here", async || {
        let derived = effective(&live).await;
        (derived.cpu.as_deref() == Some("500m")
            && derived.memory.as_deref() == Some("1Gi")
            && derived.streams_per_replica == Some(700))
        .then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_heartbeat_too_rare_for_a_controller_that_was_looked_up_is_told() {
    let server = shared().await;
    let client = server.client(User::Admin);
    let namespace = server.namespace("too-slow").await;
    let class: IngressClass = serde_json::from_value(json!({ "metadata": { "name": "too-slow" },
        "spec": { "controller": "projectcontour.io/too-slow/contour" } }))
    .unwrap();
    let classes: Api<IngressClass> = Api::all(client.clone());
    classes
        .create(&PostParams::default(), &class)
        .await
        .unwrap();
    let _operator = Operator::of(client.clone(), &namespace, "0.1.0");
    let spec = json!({ "ingress": { "hosts": ["sse.example.com"], "className": "too-slow" }, "heartbeat": { "interval": "200s" } });
    let live = Served::create(&client, &namespace, "live", spec).await;
    live.explains(
        About::RouteReady,
        Holds::False,
        Reason::HeartbeatTooSlow,
        "set spec.heartbeat.interval to",
    )
    .await;
    live.patch(json!({ "spec": { "heartbeat": { "interval": "60s" } } }))
        .await;
    live.says(About::RouteReady, Holds::True, Reason::NeedsAdministrator)
        .await;
}
