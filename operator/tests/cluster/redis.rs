//! A relay with a Redis of somebody else: a real relay with the configuration that the operator wrote,
//! and a real Redis.

use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use kube::api::{Patch, PatchParams, PostParams};
use serde_json::{Value, json};
use sse_relay_operator::crd::{ConditionStatus as Holds, ConditionType as About, Reason};

use super::operator::{Operator, Served};
use super::programs::{RedisServer, RelayProcess, free_port};
use super::server::User;
use super::{shared, until};

fn external(port: u16, more: Value) -> Value {
    let mut external = json!({ "standalone": { "host": format!("127.0.0.1:{port}") } });
    let fields = external.as_object_mut().unwrap();
    fields.extend(more.as_object().unwrap().clone());
    json!({ "replicas": 2, "redis": { "external": external } })
}

#[tokio::test(flavor = "multi_thread")]
async fn what_replicas_hear_of_redis_is_told() {
    let server = shared().await;
    let client = server.client(User::Admin);
    let namespace = server.namespace("redis-answers").await;
    let _operator = Operator::of(client.clone(), &namespace, "0.1.0");
    let port = free_port();
    let mut redis = RedisServer::start(port, &[]);
    let spec = external(port, json!({}));
    let live = Served::create(&client, &namespace, "live", spec).await;
    live.deployment().await;
    live.says(About::RedisReady, Holds::Unknown, Reason::NoReplicaReady)
        .await;

    let relay = RelayProcess::start(&live.configuration().await, &[]).await;
    live.pod("live-1", relay.address).await;
    // this one has no bound of memory, and keeps nothing
    let risk = live
        .says(About::RedisReady, Holds::True, Reason::RedisAtRisk)
        .await;
    assert!(risk.message.contains("maxmemory"), "{}", risk.message);
    until("the streams are told", async || {
        live.get().await.status?.streams
    })
    .await;
    live.all_pods_serve().await;
    // one does not write away what the other says
    live.says(About::Ready, Holds::True, Reason::AsAsked).await;
    live.says(About::RedisReady, Holds::True, Reason::RedisAtRisk)
        .await;

    redis.stop();
    let said = until("Redis is missed", async || {
        let conditions = live.get().await.status?.conditions;
        conditions
            .into_iter()
            .find(|c| c.r#type == About::RedisReady && c.status == Holds::False)
    })
    .await;
    // the pod hears nothing for a while, or it has looked again since
    let why = [Reason::RedisNotAnswering, Reason::RedisUnreachable];
    assert!(why.contains(&said.reason), "{said:?}");
    redis = RedisServer::start(port, &[]);
    live.says(About::RedisReady, Holds::True, Reason::RedisAtRisk)
        .await;
    drop(relay);
    live.says(About::RedisReady, Holds::Unknown, Reason::NotReachable)
        .await;
    drop(redis);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_relay_finds_at_redis_is_told_with_what_to_do() {
    let server = shared().await;
    let client = server.client(User::Admin);
    let namespace = server.namespace("redis-found").await;
    let _operator = Operator::of(client.clone(), &namespace, "0.1.0");
    let port = free_port();
    let locked = RedisServer::start(port, &["--requirepass", "hidden"]);
    let live = Served::create(&client, &namespace, "live", external(port, json!({}))).await;
    live.deployment().await;
    let relay = RelayProcess::start(&live.configuration().await, &[]).await;
    live.pod("live-1", relay.address).await;
    let said = live
        .says(About::RedisReady, Holds::False, Reason::RedisCredentials)
        .await;
    assert!(said.message.contains("publishing gets 503"), "{said:?}");
    assert!(live.told("RedisCredentials").await.contains("publishing"));

    drop(locked);
    let _full = RedisServer::start(port, &["--maxmemory", "1", "--appendonly", "yes"]);
    let said = live
        .says(About::RedisReady, Holds::False, Reason::RedisOutOfMemory)
        .await;
    assert!(said.message.contains("maxmemory"), "{said:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn credentials_that_are_missing_change_nothing_until_they_are_there() {
    let server = shared().await;
    let client = server.client(User::Admin);
    let namespace = server.namespace("redis-secrets").await;
    let _operator = Operator::of(client.clone(), &namespace, "0.1.0");
    let spec = external(
        6379,
        json!({
            "credentials": { "name": "redis", "usernameKey": "user", "passwordKey": "pass" },
            "tls": { "ca": { "kind": "ConfigMap", "name": "authorities" } },
        }),
    );
    let live = Served::create(&client, &namespace, "live", spec).await;
    let said = live
        .says(About::Stalled, Holds::True, Reason::SecretNotFound)
        .await;
    let message = "spec.redis.external.credentials.passwordKey: there is no Secret `redis`";
    assert!(said.message.contains(message), "{}", said.message);
    let secret = |data: Value| -> Secret {
        serde_json::from_value(json!({ "metadata": { "name": "redis" }, "stringData": data }))
            .unwrap()
    };
    let secrets = live.api::<Secret>();
    secrets
        .create(
            &PostParams::default(),
            &secret(json!({ "user": "relay\n" })),
        )
        .await
        .unwrap();
    live.says(About::Stalled, Holds::True, Reason::SecretKeyNotFound)
        .await;
    let whole = json!({ "stringData": { "pass": "hidden" } });
    secrets
        .patch("redis", &PatchParams::default(), &Patch::Merge(whole))
        .await
        .unwrap();
    live.says(About::Stalled, Holds::True, Reason::ConfigMapNotFound)
        .await;
    let map: ConfigMap = serde_json::from_value(
        json!({ "metadata": { "name": "authorities" }, "data": { "ca.crt": "PEM" } }),
    )
    .unwrap();
    live.api::<ConfigMap>()
        .create(&PostParams::default(), &map)
        .await
        .unwrap();
    live.says(About::Stalled, Holds::False, Reason::RollingOut)
        .await;
    let configuration = live.configuration().await;
    assert!(
        configuration.contains("username: relay\n"),
        "{configuration}"
    );
    assert!(!configuration.contains("hidden"), "{configuration}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_would_begin_another_log_is_refused() {
    let server = shared().await;
    let client = server.client(User::Admin);
    let namespace = server.namespace("redis-stays").await;
    let spec = external(6379, json!({}));
    let live = Served::create(&client, &namespace, "live", spec).await;
    for (patch, message) in [
        (
            json!({ "redis": null, "replicas": 1 }),
            "would begin an empty log",
        ),
        (
            json!({ "redis": { "prefix": "other" } }),
            "stays under the prefix",
        ),
        (
            json!({ "redis": { "external": { "standalone": null, "cluster": { "hosts": ["a"] } } } }),
            "cannot move into or out of a Cluster",
        ),
        (
            json!({ "redis": { "external": { "standalone": { "database": 3 } } } }),
            "the log stays in the database that it began in;",
        ),
        (
            json!({ "redis": { "external": { "standalone": null, "sentinel": { "master": "main", "hosts": ["a"], "database": 3 } } } }),
            "the log stays in the database that it began in, also behind Sentinels",
        ),
    ] {
        let patch = json!({ "spec": patch });
        let said = live.try_patch(patch).await.unwrap_err().to_string();
        assert!(said.contains(message), "{said}");
    }
    let sentinel = json!({ "spec": { "redis": { "external": {
        "standalone": null, "sentinel": { "master": "main", "hosts": ["a", "b"] } } } } });
    live.try_patch(sentinel).await.unwrap();
}
