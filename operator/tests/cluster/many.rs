//! Many relays at once.

use std::io::Write;
use std::time::{Duration, Instant};

use k8s_openapi::api::apps::v1::Deployment;
use kube::Api;
use kube::api::ListParams;
use serde_json::json;
use sse_relay_operator::controller::Scope;
use sse_relay_operator::crd::{Condition, ConditionType, Reason, SseRelay};

use super::operator::{Operator, Served};
use super::patiently;
use super::server::{Server, User};

const RELAYS: usize = 200;
/// They are as many as a slow machine has to do with for minutes.
const PATIENCE: Duration = Duration::from_secs(600);

#[tokio::test(flavor = "multi_thread")]
async fn two_hundred_relays_at_once_all_get_their_pods() {
    let server = Server::start().await;
    let client = server.client(User::Admin);
    let namespace = server.namespace("many").await;
    for number in 0..RELAYS {
        Served::create(&client, &namespace, &format!("live-{number}"), json!({})).await;
    }
    let started = Instant::now();
    let operator = Operator::start(client.clone(), Scope::Cluster, "0.1.0");
    let deployments: Api<Deployment> = Api::namespaced(client.clone(), &namespace);
    // nobody runs pods here: that none is there yet is as far as it goes
    let relays: Api<SseRelay> = Api::namespaced(client, &namespace);
    patiently(PATIENCE, "all have their pods asked for", async || {
        let all = deployments
            .list_metadata(&ListParams::default())
            .await
            .ok()?;
        (all.items.len() == RELAYS).then_some(())
    })
    .await;
    patiently(PATIENCE, "all say how they are", async || {
        let all = relays.list(&ListParams::default()).await.ok()?;
        let told = all.iter().filter(|relay| {
            let status = relay.status.as_ref();
            let conditions = status.map_or(&[][..], |status| &status.conditions);
            let ready = |c: &&Condition| c.r#type == ConditionType::Ready;
            let ready = conditions.iter().find(ready);
            ready.is_some_and(|ready| ready.reason == Reason::NoReplicaReady)
        });
        (told.count() == RELAYS).then_some(())
    })
    .await;
    // straight to where it is seen: the output of a test that passes is not shown
    let took = started.elapsed();
    writeln!(
        std::io::stderr(),
        "{RELAYS} relays are as ready as they can be after {took:.1?}"
    )
    .unwrap();
    assert!(operator.metric("sse_relay_operator_reconciles_total{outcome=\"failed\"}") < 1.0);
}
